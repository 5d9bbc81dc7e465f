"""What stops a record that will not come to rest; tries of one and the same write must not."""

from __future__ import annotations

import pytest

from dovetail.errors import OutcomeUnknownError
from dovetail.model.integration import SyncError
from dovetail.sync.breaker import MAX_REPEATS


class CrashError(BaseException):
    """The process dies here."""


TWO = (("a", {}), ("b", {}))
TRIES = 3 * MAX_REPEATS


async def one_person(bench, *platforms, **plan):
    b = await bench().start(*(platforms or TWO), **plan)
    b["a"].add(First="Ada", Phone="1", Email="a@x.com")
    await b.settle()
    (contact,) = await b.contacts()
    return b, contact


async def look(b):
    """Poll every spoke as the schedule does; nobody asks for another chance of anything."""
    drafts = [b.engine.poll_draft(route) for route in b.engine.plans.spokes()]
    await b.store.write(lambda tx: b.log.append(tx, drafts))
    for _ in range(3):
        try:
            await b.deliver()
        except CrashError:
            b.restart()


async def quarantined(b):
    return {one.platform: one.quarantined for one in (await b.engine.status()).spokes}


async def test_a_write_that_is_cut_off_again_and_again_is_no_cycle(bench):
    b, contact = await one_person(bench)
    await b.update(contact.id, phone="2")

    def cut():
        raise OutcomeUnknownError("cut", platform="b")

    b["b"].before_write = cut
    for _ in range(TRIES):
        await b.deliver()
    assert b["b"].calls.count("write") > MAX_REPEATS
    assert (await quarantined(b))["b"] == 0

    b["b"].before_write = None
    await b.settle()
    assert b["b"].find(Phone="2")
    await b.close()


async def test_a_process_that_dies_before_every_answer_is_no_cycle(bench):
    b, contact = await one_person(bench)
    await b.update(contact.id, phone="2")

    def die():
        raise CrashError

    b["b"].before_write = die
    for _ in range(TRIES):
        await look(b)
    assert b["b"].calls.count("write") > MAX_REPEATS
    assert (await quarantined(b))["b"] == 0

    b["b"].before_write = None
    await look(b)
    assert b["b"].find(Phone="2")
    await b.close()


async def test_refused_tries_are_no_cycle(bench):
    b, contact = await one_person(bench)
    b["b"].refused_calls = TRIES
    await b.update(contact.id, phone="2")
    for _ in range(TRIES):
        await b.deliver()
    assert b["b"].refused_calls == 0
    assert (await quarantined(b))["b"] == 0

    await b.deliver()
    assert b["b"].find(Phone="2")
    await b.close()


def always(value):
    """Return what replaces every first name by *value*."""
    return lambda name, given: value if name == "First" and given else given


async def test_two_platforms_that_make_different_things_of_a_value_are_stopped(bench):
    b = await bench().start(("a", {"normalise": always("Al")}), ("b", {"normalise": always("Bo")}))
    b["a"].add(First="Ada", Email="a@x.com")
    for _ in range(TRIES):
        await look(b)

    assert sum((await quarantined(b)).values()) == 1
    assert any("would not come to rest" in one.error for one in await b.all(SyncError))
    calls = sum(one.calls.count("write") for one in b.platforms.values())
    assert calls <= 2 * MAX_REPEATS + 2
    await b.close()


@pytest.mark.parametrize("answers_are_lost", [False, True])
async def test_third_parties_that_flip_a_field_back_are_stopped(bench, answers_are_lost):
    b, _ = await one_person(bench)
    workflows = {"a": "8", "b": "9"}
    for _ in range(TRIES):
        for name, value in workflows.items():
            (there,) = b[name].rows
            b[name].lost_answers = int(answers_are_lost)
            b[name].edit(there, Phone=value)
            await look(b)

    assert sum((await quarantined(b)).values()) >= 1
    await b.close()
