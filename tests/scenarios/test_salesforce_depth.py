"""What a user of Salesforce sees: whose record it is, a big first sync, deletes around the bin."""

from dovetail import Service, db
from dovetail.core import json
from dovetail.core.transport import HttpRequest
from dovetail.entities import Company, Contact, Deal, Owner
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.sandbox import sandboxed_app

DAY_S = 86_400


def declare(*entities, **integration):
    return Service.create(
        name="CRM",
        integration={
            "platforms": ["salesforce"],
            "sync_mode": "bidirectional",
            "entities": list(entities),
            "schedule": {"poll_interval": "10 minutes"},
            **integration,
        },
    )


async def test_whose_record_it_is_travels_both_ways():
    service = declare("contacts", "companies", "deals", "owners")
    async with sandboxed_app(service, platforms=("salesforce",), records=3) as world:
        acme = await world.edit("salesforce", None, "companies", Name="Acme")
        await world.edit(
            "salesforce",
            None,
            "contacts",
            LastName="Byron",
            Email="ada@x.example",
            AccountId=acme["id"],
        )
        await world.settle(1_300)

        (ada,) = await world.ours(Contact, email="ada@x.example")
        (company,) = await world.ours(Company, name="Acme")
        owners = {one.id: one for one in await world.ours(Owner)}
        assert ada.company_id == company.id
        assert ada.owner_id in owners

        async with world.app.session():
            zenith = await db.create(Company(name="Zenith"))
            await db.update(ada, company_id=zenith.id)
            await db.create(
                Deal(
                    name="20 seats",
                    stage="Prospecting",
                    close_date="2026-04-30",
                    company_id=zenith.id,
                )
            )
        await world.settle(1_300)

        at = {one["fields"]["Name"]: one for one in await world.records("salesforce", "companies")}
        (person,) = [
            one
            for one in await world.records("salesforce")
            if one["fields"]["Email"] == "ada@x.example"
        ]
        (deal,) = await world.records("salesforce", "deals")
        assert person["fields"]["AccountId"] == at["Zenith"]["id"]
        assert deal["fields"]["AccountId"] == at["Zenith"]["id"]


async def connect_big(world, count, **settings):
    """Connect a tenant of its own to an org with many contacts."""
    (big,) = build_simulators(
        ("salesforce",),
        clock=world.app.ports.clock,
        transport=world.transport,
        records=count,
        seed=5,
    )
    big.base_url = "http://salesforce.big.test"
    world.transport.add(big.base_url, big.app)
    await world.app.connections.add(
        platform="salesforce",
        business_id="big",
        secrets=big.credentials,
        base_url=big.base_url,
        webhook_secret=big.webhook_secret,
        settings=settings,
    )
    await world.app.refresh()
    return type(world)(world.app, {"salesforce": big}, world.transport)


async def jobs_of(world):
    calls = (await world.control("salesforce", "calls"))["calls"]
    return [one for one in calls if one["path"].endswith("/jobs/query")]


async def test_a_first_sync_of_many_records_is_one_job_whoever_goes_on_with_it(tmp_path):
    async with sandboxed_app(
        declare("contacts"), platforms=("salesforce",), records=0, database=tmp_path / "d.db"
    ) as world:
        big = await connect_big(world, 2_300, bulk_read_from=2_000)
        await world.app.ports.clock.sleep(1)
        assert len(await jobs_of(big)) == 1
        await world.restart()  # while the job is on its way
        big.app = world.app
        await big.settle(200)

        async with world.app.session(business_id="big"):
            found = {one.email for one in await db.query(Contact, limit=5_000)} - {None}
        there = await big.records("salesforce")
        assert len(there) == 2_300
        # Some people are there twice, and one person of ours.
        assert found == {one["fields"]["Email"].lower() for one in there if one["fields"]["Email"]}
        assert len(await jobs_of(big)) == 1


async def remove_for_good(world, id):
    """Delete a record past the recycle bin, as an admin's bulk job does."""
    simulator = world.simulators["salesforce"]

    async def call(method, path, body, kind="application/json"):
        answer = await world.transport.send(
            HttpRequest(
                method=method,
                url=f"{simulator.base_url}/services/data/v60.0{path}",
                headers={
                    "Authorization": f"Bearer {simulator.credentials['access_token']}",
                    "Content-Type": kind,
                },
                body=body if isinstance(body, bytes) else json.encode(body),
            )
        )
        assert answer.status in (200, 201), answer.body
        return answer.body

    job = json.decode(
        await call("POST", "/jobs/ingest", {"object": "Contact", "operation": "hardDelete"})
    )["id"]
    await call("PUT", f"/jobs/ingest/{job}/batches", f"Id\n{id}\n".encode(), "text/csv")
    await call("PATCH", f"/jobs/ingest/{job}", {"state": "UploadComplete"})


async def test_a_record_deleted_past_the_bin_is_gone_within_a_day():
    service = declare("contacts", deletes="propagate")
    async with sandboxed_app(service, platforms=("salesforce",), records=5) as world:
        lost = (await world.records("salesforce"))[0]
        email = lost["fields"]["Email"]
        assert await world.ours(Contact, email=email)
        await remove_for_good(world, lost["id"])
        await world.settle(1_300)
        assert await world.ours(Contact, email=email)

        await world.settle(DAY_S + 1_300)

        assert await world.ours(Contact, email=email) == []
        assert len(await world.ours(Contact)) == 4


async def test_a_locked_row_is_written_later_and_alone():
    async with sandboxed_app(declare("contacts"), platforms=("salesforce",), records=4) as world:
        people = [one for one in await world.ours(Contact) if one.email][:3]
        await world.faults("salesforce", {"kind": "row_lock", "count": 1})
        async with world.app.session():
            for one in people:
                await db.update(one, job_title="Chief")
        await world.settle(60)

        there = {one["fields"]["Email"].lower(): one for one in await world.records("salesforce")}
        written = [there[one.email] for one in people]
        assert [one["fields"]["Title"] for one in written] == ["Chief"] * 3
        # Its neighbours were not written again when it was.
        times = sorted(one["fields"]["SystemModstamp"] for one in written)
        assert times[0] == times[1] < times[2]
