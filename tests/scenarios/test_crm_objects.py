"""What a user sees: companies, deals and tickets of two CRMs kept in agreement with our records."""

from datetime import date
from decimal import Decimal

from dovetail import Service, db
from dovetail.entities import Company, Deal, Ticket
from dovetail.testing.sandbox import sandboxed_app

ENTITIES = ["contacts", "companies", "deals", "tickets"]


def declare(**integration):
    return Service.create(
        name="CRM",
        integration={
            "platforms": ["hubspot", "salesforce"],
            "sync_mode": "bidirectional",
            "entities": ENTITIES,
            "schedule": {"poll_interval": "1 minute"},
            **integration,
        },
    )


async def test_a_company_of_hubspot_and_one_of_ours_travel_both_ways():
    async with sandboxed_app(declare(), records=6) as world:
        acme = await world.edit(
            "hubspot", None, "companies", name="Acme", domain="acme.example", city="Porto"
        )
        async with world.app.session():
            await db.create(Company(name="Zenith", domain="zenith.example", phone="+351 1"))
        await world.settle()

        (came,) = await world.ours(Company, domain="acme.example")
        (went,) = await world.records("hubspot", "companies", domain="zenith.example")
        assert (came.name, came.city) == ("Acme", "Porto")
        assert (went["fields"]["name"], went["fields"]["phone"]) == ("Zenith", "+351 1")

        await world.edit("hubspot", acme["id"], "companies", city="Lisboa")
        async with world.app.session():
            (zenith,) = await db.query(Company, domain="zenith.example")
            await db.update(zenith, phone="+351 2")
        await world.settle()

        (came,) = await world.ours(Company, domain="acme.example")
        (went,) = await world.records("hubspot", "companies", domain="zenith.example")
        assert (came.city, went["fields"]["phone"]) == ("Lisboa", "+351 2")


async def test_an_edit_of_a_company_travels_by_webhook_in_seconds():
    async with sandboxed_app(declare(), records=6) as world:
        acme = await world.edit("hubspot", None, "companies", name="Acme", domain="acme.example")
        await world.settle()

        await world.edit("hubspot", acme["id"], "companies", city="Faro")
        await world.settle(5)

        (came,) = await world.ours(Company, domain="acme.example")
        assert came.city == "Faro"


async def test_a_company_that_both_have_by_domain_is_one():
    seldom = declare(schedule={"poll_interval": "10 minutes"})
    async with sandboxed_app(seldom, records=6, webhooks=False) as world:
        await world.edit("hubspot", None, "companies", name="Acme", domain="acme.example")
        await world.app.ports.clock.sleep(90)  # a search finds it; the next poll has not come yet
        async with world.app.session():
            await db.create(Company(name="Acme", domain="www.Acme.example", phone="+351 1"))
        await world.settle(1300)

        assert len(await world.records("hubspot", "companies", name="Acme")) == 1
        assert len(await world.ours(Company, name="Acme")) == 1


async def test_a_merged_company_stays_merged():
    async with sandboxed_app(declare(), records=6) as world:
        kept = await world.edit("hubspot", None, "companies", name="Acme", domain="acme.example")
        gone = await world.edit("hubspot", None, "companies", name="Acme 2", domain="a2.example")
        await world.settle()

        await world.merge("hubspot", kept["id"], gone["id"], "companies")
        await world.settle(600)

        held = [one["fields"] for one in await world.records("hubspot", "companies")]
        # The accounts that Salesforce's sandbox begins with have come over, too.
        assert [one["name"] for one in held if one["name"].startswith("Acme")] == ["Acme"]


async def test_a_deal_is_an_amount_a_date_and_a_stage():
    async with sandboxed_app(declare(), records=6) as world:
        made = await world.edit(
            "hubspot",
            None,
            "deals",
            dealname="20 seats",
            amount="1200.50",
            pipeline="default",
            dealstage="qualifiedtobuy",
            closedate="2026-04-30T00:00:00.000Z",
        )
        await world.settle()

        (deal,) = await world.ours(Deal)
        assert (deal.amount, deal.close_date) == (Decimal("1200.50"), date(2026, 4, 30))
        assert (deal.pipeline, deal.stage) == ("default", "qualifiedtobuy")

        async with world.app.session():
            await db.update(deal, amount=Decimal("1500"), stage="closedwon")
            await db.update(deal, close_date=date(2026, 5, 2))
        await world.settle()

        (back,) = await world.records("hubspot", "deals", dealname="20 seats")
        told = back["fields"]
        assert (back["id"], told["dealstage"]) == (made["id"], "closedwon")
        assert Decimal(told["amount"]) == 1500
        assert told["closedate"].startswith("2026-05-02")


async def test_a_ticket_of_ours_is_made_once_whatever_the_network_does():
    async with sandboxed_app(declare(), records=6) as world:
        await world.faults("hubspot", {"kind": "cut_after", "probability": 0.5})
        async with world.app.session():
            for number in range(8):
                await db.create(
                    Ticket(subject=f"T{number}", pipeline="0", status="1", priority="HIGH")
                )
        await world.app.ports.clock.sleep(600)
        await world.faults("hubspot")
        await world.settle(1200)

        found = await world.records("hubspot", "tickets")
        assert sorted(one["fields"]["subject"] for one in found) == [f"T{n}" for n in range(8)]
        assert {one["fields"]["hs_ticket_priority"] for one in found} == {"HIGH"}
