"""What a user sees: HubSpot's associations and Salesforce's lookups, kept the same."""

import pytest

from dovetail import Service, db, on, platform
from dovetail.core import json
from dovetail.core.transport import HttpRequest
from dovetail.entities import Company, Contact, Deal, Owner
from dovetail.testing.sandbox import sandboxed_app

V4 = "/crm/v4/objects"


def declare(*entities, **integration):
    return Service.create(
        name="CRM",
        integration={
            "platforms": ["hubspot", "salesforce"],
            "sync_mode": "bidirectional",
            "entities": list(entities or ("contacts", "companies", "deals", "owners")),
            "schedule": {"poll_interval": "1 minute"},
            **integration,
        },
    )


async def hubspot(world, method, path, body=None):
    simulator = world.simulators["hubspot"]
    token = simulator.credentials["access_token"]
    answer = await world.transport.send(
        HttpRequest(
            method=method,
            url=simulator.base_url + path,
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
            body=b"" if body is None else json.encode(body),
        )
    )
    assert answer.status < 300, answer.body
    return json.decode(answer.body) if answer.body else None


async def associate(world, kind, id, target, to):
    await hubspot(world, "PUT", f"{V4}/{kind}/{id}/associations/default/{target}/{to}")


async def ends(world, kind, id, target):
    found = await hubspot(world, "GET", f"{V4}/{kind}/{id}/associations/{target}")
    return [str(one["toObjectId"]) for one in found["results"]]


async def settled(world, seconds=300):
    await world.settle(seconds)
    before = {name: await written(world, name) for name in ("hubspot", "salesforce")}
    await world.settle(1200)
    assert {name: await written(world, name) for name in before} == before, "it goes on writing"


async def written(world, platform):
    resources = ("contacts", "companies", "deals")
    return [
        (one["id"], one["modified_at"])
        for name in resources
        for one in await world.records(platform, name)
    ]


async def test_an_association_of_hubspot_is_a_lookup_at_salesforce_and_back():
    async with sandboxed_app(declare(), records=0) as world:
        acme = await world.edit("hubspot", None, "companies", name="Acme", domain="acme.example")
        ada = await world.edit("hubspot", None, "contacts", email="a@x.com", lastname="Byron")
        await associate(world, "contacts", ada["id"], "companies", acme["id"])
        await settled(world)

        (contact,) = await world.records("salesforce", "contacts", Email="a@x.com")
        (account,) = await world.records("salesforce", "companies", Name="Acme")
        assert contact["fields"]["AccountId"] == account["id"]

        zen = await world.edit("salesforce", None, "companies", Name="Zen", Website="zen.example")
        await world.edit("salesforce", contact["id"], "contacts", AccountId=zen["id"])
        await settled(world)
        (company,) = await world.records("hubspot", "companies", name="Zen")
        assert await ends(world, "contacts", ada["id"], "companies") == [company["id"]]


async def test_an_association_that_moves_no_time_is_told_by_its_webhook():
    async with sandboxed_app(declare(), records=0) as world:
        acme = await world.edit("hubspot", None, "companies", name="Acme", domain="acme.example")
        ada = await world.edit("hubspot", None, "contacts", email="a@x.com", lastname="Byron")
        await world.settle(300)
        await associate(world, "contacts", ada["id"], "companies", acme["id"])
        await world.settle(20)

        (contact,) = await world.ours(Contact, email="a@x.com")
        (company,) = await world.ours(Company, name="Acme")
        assert contact.company_id == company.id


@pytest.mark.parametrize("webhooks", [True, False])
async def test_a_company_that_is_deleted_at_hubspot_keeps_its_people_at_salesforce(webhooks):
    async with sandboxed_app(declare(), records=0, webhooks=webhooks) as world:
        acme = await world.edit("hubspot", None, "companies", name="Acme", domain="acme.example")
        ada = await world.edit("hubspot", None, "contacts", email="a@x.com", lastname="Byron")
        await associate(world, "contacts", ada["id"], "companies", acme["id"])
        await world.settle(300)
        await world.remove("hubspot", acme["id"], "companies")
        await world.edit("hubspot", ada["id"], "contacts", city="Faro")
        await settled(world)

        (contact,) = await world.records("salesforce", "contacts", Email="a@x.com")
        (account,) = await world.records("salesforce", "companies", Name="Acme")
        assert contact["fields"]["AccountId"] == account["id"]
        assert contact["fields"]["MailingCity"] == "Faro"
        assert await ends(world, "contacts", ada["id"], "companies") == []


async def test_a_deal_of_ours_has_its_company_its_contact_and_its_owner():
    async with sandboxed_app(declare(), records=0) as world:
        async with world.app.session():
            owner = next(one for one in await db.query(Owner) if one.email)
            company = await db.create(Company(name="Acme", domain="acme.example"))
            contact = await db.create(
                Contact(last_name="L", email="l@x.com", company_id=company.id, owner_id=owner.id)
            )
            await db.create(
                Deal(
                    name="Big",
                    stage="contractsent",
                    pipeline="default",
                    company_id=company.id,
                    contact_id=contact.id,
                )
            )
        await settled(world)

        (deal,) = await world.records("hubspot", "deals", dealname="Big")
        (firm,) = await world.records("hubspot", "companies", name="Acme")
        (person,) = await world.records("hubspot", "contacts", email="l@x.com")
        assert await ends(world, "deals", deal["id"], "companies") == [firm["id"]]
        assert await ends(world, "deals", deal["id"], "contacts") == [person["id"]]
        assert await ends(world, "contacts", person["id"], "companies") == [firm["id"]]
        (kept,) = await world.ours(Contact, email="l@x.com")
        assert kept.owner_id == owner.id


@pytest.mark.parametrize("kind", ["cut_before", "cut_after", "server_error", "rate_limit"])
async def test_a_network_that_fails_between_record_and_association_loses_no_edge(kind):
    async with sandboxed_app(declare("contacts", "companies"), records=0) as world:
        fault = {"kind": kind, "probability": 0.3}
        between = {"kind": kind, "path": "/crm/v4/associations/*/batch/create", "count": 3}
        await world.faults("hubspot", fault, between)
        await world.faults("salesforce", fault)
        async with world.app.session():
            for n in range(6):
                company = await db.create(Company(name=f"F{n}", domain=f"f{n}.example"))
                await db.create(
                    Contact(last_name=f"L{n}", email=f"l{n}@x.com", company_id=company.id)
                )
        await world.settle(900)
        await world.faults("hubspot")
        await world.faults("salesforce")
        await settled(world, 900)

        for n in range(6):
            (firm,) = await world.records("hubspot", "companies", name=f"F{n}")
            (person,) = await world.records("hubspot", "contacts", email=f"l{n}@x.com")
            assert await ends(world, "contacts", person["id"], "companies") == [firm["id"]]
            (account,) = await world.records("salesforce", "companies", Name=f"F{n}")
            (contact,) = await world.records("salesforce", "contacts", Email=f"l{n}@x.com")
            assert contact["fields"]["AccountId"] == account["id"]


async def test_owners_with_one_address_are_one():
    async with sandboxed_app(declare(), records=0) as world:
        owners = await world.ours(Owner)
        mails = [owner.email for owner in owners if owner.email]
        assert len(mails) == len(set(mails)) > 1


async def test_a_handler_reads_owners_by_their_address():
    found = []

    @on(Contact.created)
    async def look(contact: Contact) -> None:
        for name in ("hubspot", "salesforce"):
            owners = [owner async for owner in platform(name).owners.changes()]
            mail = next(one.values["email"] for one in owners if one.values["email"])
            one = await platform(name).owners.find(email=mail.upper())
            found.append((len(owners) > 1, one.values["email"] == mail))

    async with sandboxed_app(declare(), look, records=0) as world:
        async with world.app.session():
            await db.create(Contact(last_name="L", email="l@x.com"))
        await world.settle()

    assert found == [(True, True), (True, True)]
