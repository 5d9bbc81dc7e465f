"""Deletes that nobody told of: found by asking for what is linked, and not guessed from silence."""

from __future__ import annotations

import pytest

from dovetail.connector_sdk.spec import Capability
from dovetail.model.integration import SyncError

DAY_S = 86_400
SILENT = {"lacks": (Capability.TOMBSTONES,)}


async def people(bench, count, traits, deletes="propagate"):
    b = await bench().start(("a", {}), ("b", traits), deletes=deletes)
    for number in range(count):
        b["a"].add(First="A", Email=f"{number}@x.com")
    await b.settle()
    return b


def lose(b, external_id):
    """Delete a record without a trace in what can be read as changes."""
    b["b"].remove(external_id)
    del b["b"].modified[external_id]


async def look(b):
    drafts = [b.engine.poll_draft(route) for route in b.engine.plans.spokes()]
    await b.store.write(lambda tx: b.log.append(tx, drafts))
    await b.deliver()


async def polls(b, seconds, every_s=600):
    for _ in range(int(seconds / every_s)):
        await b.clock.sleep(every_s)
        await look(b)


async def test_a_delete_that_nobody_told_of_arrives_within_a_day(bench):
    b = await people(bench, 3, SILENT)
    lost = b["b"].find(Email="1@x.com")[0]
    lose(b, lost)
    await polls(b, DAY_S / 2)
    assert len(await b.contacts()) == 3

    await polls(b, DAY_S / 2 + 1200)
    assert sorted(one.email for one in await b.contacts()) == ["0@x.com", "2@x.com"]
    assert b["a"].find(Email="1@x.com") == []
    await b.close()


async def test_it_is_found_where_deletes_are_told_for_a_while_only(bench):
    b = await people(bench, 3, {"tombstones_for_s": 15 * DAY_S})
    lose(b, b["b"].find(Email="1@x.com")[0])

    await polls(b, DAY_S + 1200, every_s=1800)

    assert sorted(one.email for one in await b.contacts()) == ["0@x.com", "2@x.com"]
    await b.close()


async def test_it_is_looked_for_at_once_after_a_long_stop(bench):
    b = await people(bench, 3, SILENT)
    lose(b, b["b"].find(Email="1@x.com")[0])
    await b.clock.sleep(5 * 3_600)
    b.restart()
    await look(b)

    assert len(await b.contacts()) == 2
    await b.close()


async def test_a_kept_record_is_only_unlinked(bench):
    b = await people(bench, 3, SILENT, deletes="keep")
    lose(b, b["b"].find(Email="1@x.com")[0])
    await polls(b, DAY_S + 1200, every_s=1800)

    assert len(await b.contacts()) == 3
    status = {one.platform: one for one in (await b.engine.status()).spokes}
    assert status["b"].links == {"active": 2, "gone": 1}
    await b.close()


async def test_a_platform_that_shows_its_deletes_is_not_asked(bench):
    b = await people(bench, 3, {})
    b["b"].calls.clear()
    await polls(b, 2 * DAY_S, every_s=3_000)

    assert "read_many" not in b["b"].calls
    await b.close()


async def test_one_pass_a_day_in_batches(bench):
    b = await people(bench, 250, SILENT)
    b["b"].calls.clear()
    await polls(b, 2 * DAY_S + 1200, every_s=3_000)

    assert b["b"].calls.count("read_many") == 2 * 3
    await b.close()


@pytest.mark.parametrize("dies_at", [1, 2, 3])
async def test_a_pass_goes_on_where_it_was_cut_off(bench, dies_at):
    b = await people(bench, 250, SILENT)
    for number in (5, 100, 249):
        lose(b, b["b"].find(Email=f"{number}@x.com")[0])
    asked = b["b"].read_many
    calls = []

    async def cut(resource, ids, fields):
        calls.append(ids)
        if len(calls) == dies_at:
            raise ConnectionError("the process dies here")
        return await asked(resource, ids, fields)

    b["b"].read_many = cut
    await b.clock.sleep(DAY_S)
    with pytest.raises(ConnectionError):
        await look(b)
    b.restart()
    await look(b)

    assert len(await b.contacts()) == 247
    assert len(calls) == 4, "what was looked at before is not looked at again"
    await b.close()


async def test_many_that_cannot_be_read_are_not_taken_for_deleted(bench):
    b = await people(bench, 40, SILENT)
    for external_id in list(b["b"].rows)[:30]:
        lose(b, external_id)
    await b.clock.sleep(DAY_S)
    await look(b)

    assert len(await b.contacts()) == 40
    assert [one.code for one in await b.all(SyncError)] == ["too-many-gone"]
    await b.close()
