"""Credentials that a platform does not accept: work waits, is told of once, and goes on."""

from dovetail import Event, Service, on
from dovetail.cli.doctor import _connection
from dovetail.entities import Integration
from dovetail.runtime.refusal import list_refusals
from dovetail.testing.sandbox import sandboxed_app

REFUSED = {"kind": "expired_token", "probability": 1.0}


def declare():
    return Service.create(
        name="CRM",
        integration={
            "platforms": ["hubspot", "salesforce"],
            "sync_mode": "bidirectional",
            "entities": ["contacts"],
            "schedule": {"poll_interval": "1 minute"},
        },
    )


def watcher():
    told = []

    @on(Integration.error)
    async def watch(event: Event):
        told.append(event)

    return told, watch


async def statuses(world):
    return (await world.app.status())["deliveries"]


async def refusals(world):
    return await world.app.store.read(list_refusals)


async def edit_all(world, number):
    for one in await world.records("salesforce"):
        await world.edit("salesforce", one["id"], Phone=f"+49 30 {number}")


async def phones(world):
    return {
        one["fields"].get("phone")
        for one in await world.records("hubspot")
        if one["fields"].get("email")
    }


async def test_work_waits_is_told_of_once_and_goes_on_when_the_credentials_work_again():
    told, watch = watcher()
    async with sandboxed_app(declare(), watch, records=8) as world:
        await world.faults("hubspot", REFUSED)
        await edit_all(world, 1)
        await world.settle(43_200)

        assert (await statuses(world)).get("dead", 0) == 0
        assert [one.payload["platform"] for one in told] == ["hubspot"]
        assert "dovetail connect hubspot" in told[0].payload["error"]
        spokes = {one.platform: one for one in (await world.app.sync.status()).spokes}
        assert spokes["hubspot"].refused
        assert spokes["hubspot"].pending_pushes > 0
        assert spokes["salesforce"].refused is None

        await world.faults("hubspot")
        await world.settle(700)
        assert await refusals(world) == {}
        assert await phones(world) == {"+49 30 1"}
        assert len(told) == 1
        assert (await statuses(world)).get("scheduled", 0) == 0


async def test_few_calls_are_made_while_the_credentials_are_refused():
    async with sandboxed_app(declare(), records=8) as world:
        await world.faults("hubspot", REFUSED)
        await edit_all(world, 1)
        await world.settle(3_600)
        before = await world.calls("hubspot")
        await world.settle(3_600)

        assert 6 <= await world.calls("hubspot") - before <= 13


async def test_the_other_platform_goes_on():
    async with sandboxed_app(declare(), records=8) as world:
        await world.faults("hubspot", REFUSED)
        await world.settle(600)
        made = await world.edit("salesforce", None, LastName="Neu", Email="neu@example.com")
        await world.settle(150)

        async with world.app.session():
            assert made["id"] in {
                one.external_id for one in await _mappings() if one.platform == "salesforce"
            }


async def _mappings():
    from dovetail import db
    from dovetail.entities import IntegrationMapping

    return await db.query(IntegrationMapping, limit=500)


async def test_what_waited_is_due_at_once_when_a_person_connects_again(tmp_path):
    async with sandboxed_app(declare(), records=8, database=tmp_path / "crm.db") as world:
        await world.faults("hubspot", REFUSED)
        await edit_all(world, 1)
        await world.settle(7_200)
        await world.faults("hubspot")
        hubspot = world.simulators["hubspot"]
        await world.app.connections.add(
            platform="hubspot",
            business_id="default",
            secrets=hubspot.credentials,
            base_url=hubspot.base_url,
            webhook_secret=hubspot.webhook_secret,
        )
        assert await refusals(world) == {}
        await world.settle(15)

        assert await phones(world) == {"+49 30 1"}


async def test_one_stray_refusal_is_no_news():
    told, watch = watcher()
    async with sandboxed_app(declare(), watch, records=8) as world:
        await world.faults("hubspot", REFUSED | {"probability": 0.2})
        for number in range(5):
            await edit_all(world, number)
            await world.settle(90)
        await world.faults("hubspot")
        await world.settle(700)

        assert len(told) <= 3, "two refusals in a row are rare, and may be taken for real"
        assert (await statuses(world)).get("dead", 0) == 0
        assert await phones(world) == {"+49 30 4"}


async def test_doctor_says_since_when_a_connection_is_refused():
    async with sandboxed_app(declare(), records=8) as world:
        await world.faults("hubspot", REFUSED)
        await edit_all(world, 1)
        await world.settle(600)
        found = {
            one.platform: await _connection(world.app, one)
            for one in await world.app.connections.list()
        }

        assert found["hubspot"].status == "problem"
        assert "refused since 2026-03-01" in found["hubspot"].detail
        assert "dovetail connect hubspot" in found["hubspot"].advice
        assert found["salesforce"].status == "ok"
