"""Whichever call of a bulk job is lost, on its way or on its way back: all is done, and once."""

import asyncio
from datetime import UTC, datetime

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.salesforce import Salesforce
from dovetail.core.transport import TransportError
from dovetail.errors import OutcomeUnknownError, TransientError

CONTACTS = Salesforce.resource("contacts")
KEY = "Hub_Key__c"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
FIELDS = ("LastName", "Email")
COUNT = 12
# More than either way has: the last ones lose nothing.
CALLS = range(16)


def people():
    return [
        Write(action="create", key=f"k{n}", fields={"LastName": f"P{n}", "Email": f"p{n}@x.io"})
        for n in range(COUNT)
    ]


class LosesOne:
    """Loses one call of all: its answer, or the call itself."""

    def __init__(self, world, number, way):
        self.world, self.number, self.way = world, number, way
        self.count = 0
        self.carry = world.transport.send

    async def __call__(self, request):
        if "/_sandbox/" in request.url:
            return await self.carry(request)
        self.count += 1
        if self.count - 1 != self.number:
            return await self.carry(request)
        self.world.lost_call = f"{request.method} {request.url}"
        if self.way == "answer":
            await self.carry(request)
        raise TransportError("connection lost", sent=True)


@pytest.mark.parametrize("way", ["answer", "call"])
@pytest.mark.parametrize("number", CALLS)
@pytest.mark.parametrize("keyed", [True, False], ids=["by-key", "by-values"])
async def test_a_write_is_done_once(new_world, number, way, keyed):
    world = new_world(external_id_fields=(KEY,), bulk_job_s=25)
    settings = {"bulk_write_from": 10} | ({"external_id_field": KEY} if keyed else {})
    salesforce = world.connector(**settings)
    world.transport.send = LosesOne(world, number, way)
    writes, ids = people(), {}

    for _ in range(6):
        # What the sync does: repeat what was not applied, look up what may have been.
        try:
            results = await salesforce.write(CONTACTS, writes, FIELDS)
        except OutcomeUnknownError:
            found = await salesforce.look_up(CONTACTS, writes, START, FIELDS)
            ids |= {write.key: one.id for write, one in zip(writes, found, strict=True) if one}
        except TransientError:
            await world.clock.sleep(3_600)
            made = (await world.sandbox("records/contacts", None, "GET"))["records"]
            assert made == [], f"said to be not applied: {world.lost_call}"
        else:
            assert not [one.error for one in results if one.error]
            ids |= {one.key: one.id for one in results}
        writes = [write for write in writes if write.key not in ids]
        if not writes:
            break

    made = (await world.sandbox("records/contacts", None, "GET"))["records"]
    assert sorted(ids) == sorted(one.key for one in people())
    assert sorted(one["id"] for one in made) == sorted(ids.values())


@pytest.mark.parametrize("asked", [1, 4, COUNT])
async def test_a_job_that_runs_is_seen_however_few_of_its_creates_are_looked_up(new_world, asked):
    world = new_world(external_id_fields=(KEY,), bulk_job_s=600)
    salesforce = world.connector(external_id_field=KEY, bulk_write_from=5)
    writing = asyncio.create_task(salesforce.write(CONTACTS, people(), ()))
    await world.clock.sleep(30)
    writing.cancel()  # the process dies while the job is on its way

    with pytest.raises(TransientError, match="still writes contacts"):
        await salesforce.look_up(CONTACTS, people()[:asked], START, ())
    await world.clock.sleep(600)

    assert None not in await salesforce.look_up(CONTACTS, people()[:asked], START, ())


async def test_who_may_not_see_jobs_has_made_none_that_runs(connect, script):
    refusal = [{"errorCode": "INSUFFICIENT_ACCESS", "message": "no"}]
    salesforce = connect(external_id_field=KEY, bulk_write_from=3)
    script.then(refusal, 403).then({"records": [], "done": True})

    assert await salesforce.look_up(CONTACTS, people()[:1], START, ()) == [None]


@pytest.mark.parametrize("way", ["answer", "call"])
@pytest.mark.parametrize("number", range(12))
async def test_a_reading_misses_nothing(new_world, read_all, number, way):
    world = new_world(records=2_300, seed=3, bulk_job_s=25)
    world.transport.send = LosesOne(world, number, way)
    cursor, seen = None, set()

    for _ in range(40):
        try:
            page = await world.connector(bulk_read_from=2_000).read_page(CONTACTS, FIELDS, cursor)
        except TransientError:
            continue
        seen |= {one.id for one in page.records}
        cursor = page.cursor
        assert page.trouble is None
        await world.clock.sleep(page.wait_s)
        if not page.more:
            break

    there = (await world.sandbox("records/contacts", None, "GET"))["records"]
    assert not page.more
    assert seen == {one["id"] for one in there}
    assert len(seen) == 2_300
