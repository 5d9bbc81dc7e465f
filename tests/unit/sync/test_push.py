"""The outbound half: one write each, whatever crashes, is lost, refused or edited meanwhile."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from dovetail.errors import UsageError
from dovetail.model.integration import SyncError
from dovetail.runtime.store.schema import records
from dovetail.sync.breaker import MAX_REPEATS
from dovetail.sync.schema import sync_intents, sync_links

TWO = (("a", {}), ("b", {}))


async def rows(b, table):
    return await b.store.read(lambda tx: tx.rows(sa.select(table)))


async def test_the_first_sync_links_what_both_sides_have_and_makes_the_rest(bench):
    b = await bench().start(*TWO)
    for mail in ("1@x.com", "2@x.com", "3@x.com"):
        b["a"].add(First="A", Email=mail)
    for mail in ("2@x.com", "3@x.com", "4@x.com"):
        b["b"].add(First="A", Email=mail)
    await b.settle()

    assert len(b["a"].rows) == len(b["b"].rows) == len(await b.contacts()) == 4
    assert await rows(b, sync_intents) == []
    status = {one.platform: one for one in (await b.engine.status()).spokes}
    assert status["a"].counts["made"] == status["b"].counts["made"] == 1
    assert status["b"].links == {"active": 4}
    assert all(one.is_caught_up and not one.pending_pushes for one in status.values())
    await b.close()


async def test_a_rest_after_a_sync_writes_nothing(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Phone="1", Email="a@x.com")
    await b.settle()
    for one in b.platforms.values():
        one.calls.clear()
    await b.settle()
    await b.settle()

    assert {call for one in b.platforms.values() for call in one.calls} == {"read_page"}
    await b.close()


async def test_what_a_platform_makes_of_a_value_is_not_an_edit(bench):
    def shout(name, value):
        return value.upper() if name == "First" and value else value

    b = await bench().start(("a", {}), ("b", {"normalise": shout}))
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    b["a"].edit(next(iter(b["a"].rows)), Phone="5")
    await b.settle()

    assert b["a"].find(First="Ada", Phone="5")
    assert b["b"].find(First="ADA", Phone="5")
    assert [one.first_name for one in await b.contacts()] == ["Ada"]
    await b.close()


async def test_a_value_that_a_platform_replaces_is_taken_for_its_own(bench):
    def other(name, value):
        return "Other" if name == "Phone" and value else value

    b = await bench().start(("a", {}), ("b", {"normalise": other}))
    b["a"].add(First="Ada", Phone="9", Email="a@x.com")
    await b.settle()

    assert b["a"].find(Phone="Other")
    assert [one.phone for one in await b.contacts()] == ["Other"]
    await b.close()


async def test_an_edit_made_there_just_before_our_write_is_not_overwritten(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Phone="1", Email="a@x.com")
    await b.settle()
    (there,) = b["b"].rows
    await b.update((await b.contacts())[0].id, first_name="Here")
    b["b"].edit(there, Phone="2")
    await b.deliver()
    await b.settle()

    assert b["a"].find(First="Here", Phone="2")
    assert b["b"].find(First="Here", Phone="2")
    await b.close()


async def test_an_edit_made_there_during_our_write_is_taken_over(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Phone="1", Email="a@x.com")
    await b.settle()
    (there,) = b["b"].rows
    await b.update((await b.contacts())[0].id, first_name="Here")
    b["b"].before_write = lambda: b["b"].edit(there, Phone="2")
    await b.deliver()
    b["b"].before_write = None
    await b.settle()

    assert b["a"].find(First="Here", Phone="2")
    await b.close()


@pytest.mark.parametrize("lag", [0.0, 8.0])
@pytest.mark.parametrize("mail", ["a@x.com", None])
async def test_a_create_whose_answer_was_lost_is_not_repeated(bench, lag, mail):
    b = await bench().start(("a", {}), ("b", {"lag_s": lag}))
    b["b"].lost_answers = 1
    b["a"].add(First="Ada", Last="L", Email=mail)
    await b.settle()

    assert len(b["b"].rows) == 1
    assert len(b["a"].rows) == 1
    assert await rows(b, sync_intents) == []
    await b.close()


@pytest.mark.parametrize("mail", ["a@x.com", None])
async def test_a_create_seen_by_a_poll_before_its_answer_is_recognised(bench, mail):
    b = await bench().start(*TWO)
    await b.settle()
    b["b"].lost_answers = 1
    await b.create(first_name="Ada", last_name="L", email=mail)
    while not b["b"].rows:
        for spec, ready in await b._ready():
            await b._run(spec, ready)
    await b.engine._poll.read(b.engine.plans.spoke("b", "contact"))
    await b.settle()

    assert len(await b.contacts()) == 1
    assert len(b["a"].rows) == len(b["b"].rows) == 1
    await b.close()


@pytest.mark.slow
async def test_a_process_that_dies_anywhere_makes_nothing_twice(bench):
    points = await _run_and_crash(bench, None)
    assert points > 40

    for at in range(1, points + 1):
        await _run_and_crash(bench, at)


async def _run_and_crash(bench, at):
    b = await bench().start(("a", {}), ("b", {}), deletes="propagate")
    b.trip.at = at
    b["a"].add(First="Ada", Last="L", Email="a@x.com")
    b["a"].add(First="Nomail", Last="M")
    b["b"].add(First="Bob", Last="B", Email="b@x.com")
    await b.settle()
    b["b"].edit(b["b"].find(First="Ada")[0], Phone="4")
    b["a"].remove(b["a"].find(First="Bob")[0])
    await b.settle()
    held = {
        name: sorted(row["First"] for row in one.rows.values()) for name, one in b.platforms.items()
    }
    assert held == {"a": ["Ada", "Nomail"], "b": ["Ada", "Nomail"]}, f"after a crash at {at}"
    assert b["a"].find(First="Ada", Phone="4")
    assert len(await b.contacts()) == 2
    assert b.failures == []
    await b.close()
    return b.trip.count


async def test_a_record_that_lacks_what_a_platform_requires_waits_until_it_has_it(bench):
    b = await bench().start(("a", {}), ("b", {"required": ("Last",)}))
    b["a"].add(First="Ada", Email="a@x.com")
    b["a"].add(First="Bob", Last="B", Email="b@x.com")
    await b.settle()
    await b.settle()

    assert b["b"].find(First="Bob")
    assert len(b["b"].rows) == 1
    (error,) = await b.all(SyncError)
    assert "Last: is required" in error.error
    assert b.failures == []

    b["a"].edit(b["a"].find(First="Ada")[0], Last="L")
    await b.settle()

    assert b["b"].find(First="Ada", Last="L")
    await b.close()


async def test_a_refused_field_does_not_hold_up_the_others(bench):
    b = await bench().start(("a", {}), ("b", {"required": ("Last",)}))
    b["a"].add(First="Ada", Last="L", Email="a@x.com")
    await b.settle()
    b["a"].edit(next(iter(b["a"].rows)), Last=None, Phone="5")
    await b.settle()

    assert b["b"].find(Last="L", Phone="5")
    assert len(await b.all(SyncError)) == 1
    await b.close()


async def test_a_platform_that_knows_the_key_already_is_linked_to(bench):
    b = await bench().start(("a", {}), ("b", {"unique": True, "lag_s": 30.0}))
    await b.settle()
    b["a"].add(First="Ada", Phone="1", Email="a@x.com")
    b["b"].add(First="Ada", Email="a@x.com")
    await b.settle()

    assert len(b["b"].rows) == 1
    assert b["b"].find(Phone="1")
    assert len(await b.contacts()) == 1
    await b.close()


async def test_a_record_that_appeared_meanwhile_is_found_by_its_key(bench):
    b = await bench().start(*TWO)
    await b.settle()
    await b.create(first_name="Ada", email="a@x.com")
    b["b"].add(First="Ada", Email="A@x.com")
    await b.deliver()
    await b.settle()

    assert len(b["b"].rows) == 1
    assert b["b"].find(Email="a@x.com")
    await b.close()


async def test_a_record_that_will_not_come_to_rest_is_left_alone(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    (there,) = b["b"].rows
    (contact,) = await b.contacts()
    for number in range(2 * MAX_REPEATS):
        await b.update(contact.id, phone=str(number % 2))
        await b.deliver()

    status = {one.platform: one for one in (await b.engine.status()).spokes}
    assert status["b"].quarantined == 1
    assert "would not come to rest" in (await b.all(SyncError))[0].error
    assert b["b"].calls.count("write") <= MAX_REPEATS + 1

    await b.update(contact.id, phone="done")
    await b.settle()

    assert b["b"].rows[there]["Phone"] == "done"
    await b.close()


async def test_a_delete_here_is_carried_out_there_when_wanted(bench):
    b = await bench().start(*TWO, deletes="propagate")
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    await b.delete((await b.contacts())[0].id)
    await b.settle()

    assert b["a"].rows == b["b"].rows == {}
    await b.close()


async def test_a_target_that_is_gone_is_noticed_before_the_write(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    b["b"].remove(next(iter(b["b"].rows)))
    b["a"].edit(next(iter(b["a"].rows)), Phone="5")
    await b.settle()

    assert b["b"].rows == {}
    states = {row.connection_id: row.state for row in await rows(b, sync_links)}
    assert states == {"a": "active", "b": "gone"}
    await b.close()


async def test_what_was_pushed_is_shown_to_handlers(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    kept = [row.entity for row in await rows(b, records)]

    assert kept.count("integration_mapping") == 2
    assert kept.count("sync_activity") == 1
    await b.close()


async def test_a_decided_conflict_cannot_be_decided_again(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    b["b"].add(First="Eve", Email="a@x.com")
    await b.settle()
    (conflict,) = await b.all_conflicts()

    with pytest.raises(UsageError, match="is resolved"):
        await b.engine.resolve_conflict("acme", conflict.id, take="internal")
    await b.close()


async def test_a_later_edit_there_of_the_same_field_wins_over_our_waiting_write(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Email="a@x.com")
    await b.settle()
    await b.update((await b.contacts())[0].id, first_name="Here")
    await b.clock.sleep(1)
    b["b"].edit(next(iter(b["b"].rows)), First="There")
    await b.deliver()
    await b.settle()

    assert b["a"].find(First="There")
    assert b["b"].find(First="There")
    (conflict,) = await b.all_conflicts()
    assert (conflict.local_data, conflict.external_data, conflict.winner) == ("Here", "There", "b")
    await b.close()


async def test_a_lost_answer_does_not_turn_normalisation_into_an_edit(bench):
    def cut(name, value):
        return value[:30] if name == "Last" and value else value

    b = await bench().start(("a", {}), ("b", {"normalise": cut}))
    b["a"].add(First="Ada", Last="short", Email="a@x.com")
    await b.settle()
    b["b"].lost_answers = 1
    b["a"].edit(next(iter(b["a"].rows)), Last="x" * 40)
    await b.settle()

    assert b["a"].find(Last="x" * 40)
    assert b["b"].find(Last="x" * 30)
    assert await b.all_conflicts() == []
    await b.close()
