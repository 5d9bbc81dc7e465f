"""Writes whose answer was lost or comes late: looked up soon, recognised, told of, done once."""

from __future__ import annotations

import random

import pytest

from dovetail.errors import (
    MalformedResponseError,
    OutcomeUnknownError,
    PlatformUnavailableError,
    RateLimitedError,
)
from dovetail.runtime.log import event_of

TWO = (("a", {}), ("b", {"lag_s": 10.0}))


async def with_a_lost_create(bench):
    b = await bench().start(*TWO)
    await b.settle()
    b["b"].lost_answers = 1
    await b.create(first_name="Ada", email="a@x.com")
    spec = next(one for one in b.engine.handlers() if one.name == "sync.local")
    await spec.call(await opened(b, "sync.local"))
    return b


async def opened(b, handler):
    return [
        event_of(row) for spec, rows in await b._ready() if spec.name == handler for row in rows
    ]


async def push(b):
    spec = next(one for one in b.engine.handlers() if one.name == "sync.push")
    events = [one for one in await opened(b, "sync.push") if one.payload["connection_id"] == "b"]
    return (await spec.call(events))[0]


def longest_wait(b, error):
    spec = next(one for one in b.engine.handlers() if one.name == "sync.push")
    return max(spec.retry.wait_s(error, 50, random.Random(seed)) for seed in range(50))


async def test_it_is_looked_up_within_half_a_minute_after_a_burst_of_failures(bench):
    b = await with_a_lost_create(bench)
    lost = await push(b)
    unsure = await push(b)

    for error in (lost, unsure):
        assert isinstance(error, OutcomeUnknownError)
        assert longest_wait(b, error) <= 30
    assert longest_wait(b, PlatformUnavailableError("down")) > 200
    assert b["b"].calls.count("write") == 1
    await b.clock.sleep(11)
    assert await push(b) is None
    assert len(b["b"].rows) == 1
    await b.close()


@pytest.mark.parametrize("kind", [PlatformUnavailableError, MalformedResponseError])
async def test_a_look_up_that_fails_is_made_again_as_soon(bench, kind):
    b = await with_a_lost_create(bench)
    await push(b)

    async def fail(*_):
        raise kind("down")

    b["b"].look_up = fail
    with pytest.raises(OutcomeUnknownError) as caught:
        await push(b)
    assert longest_wait(b, caught.value) <= 30
    await b.close()


async def test_a_limit_says_itself_when_to_look_again(bench):
    b = await with_a_lost_create(bench)
    await push(b)

    async def fail(*_):
        raise RateLimitedError("busy", retry_after_s=100.0)

    b["b"].look_up = fail
    with pytest.raises(RateLimitedError):
        await push(b)
    await b.close()


async def test_a_create_edited_and_seen_before_its_answer_is_recognised(bench):
    b = await bench().start(*TWO)
    await b.settle()
    write = b["b"].write

    async def seen_before_it_answers(*arguments):
        results = await write(*arguments)
        if results[0].created:
            b["b"].edit(results[0].id, Phone="2")
            await b.engine._poll.read(b.engine.plans.spoke("b", "contact"))
        return results

    b["b"].write = seen_before_it_answers
    await b.create(first_name="Ada", last_name="L", phone="1")
    await b.settle()
    await b.clock.sleep(15)
    await b.settle()

    assert [one.phone for one in await b.contacts()] == ["2"]
    assert len(b["a"].rows) == len(b["b"].rows) == 1
    await b.close()


async def test_a_value_taken_back_while_our_write_had_no_answer_is_told(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Phone="1", Email="a@x.com")
    await b.settle()
    (there,) = b["b"].rows
    await b.update((await b.contacts())[0].id, phone="2")
    b["b"].lost_answers = 1
    while b["b"].lost_answers:
        for spec, ready in await b._ready():
            await b._run(spec, ready)
    await b.clock.sleep(5)
    b["b"].edit(there, Phone="1")
    await b.settle()

    # Nobody can know whether the write was lost or its value was taken back.
    assert b["a"].find(Phone="2")
    assert b["b"].find(Phone="2")
    (told,) = await b.all_conflicts()
    assert (told.field, told.local_data, told.external_data) == ("phone", "2", "1")
    assert (told.status, told.winner) == ("resolved", "internal")
    await b.close()


async def test_a_write_that_never_arrived_is_no_conflict(bench):
    b = await bench().start(*TWO)
    b["a"].add(First="Ada", Phone="1", Email="a@x.com")
    await b.settle()
    (there,) = b["b"].rows
    await b.update((await b.contacts())[0].id, phone="2")
    arrived, b["b"]._write, b["b"].lost_answers = b["b"]._write, lambda _: None, 1
    while b["b"].lost_answers:
        for spec, ready in await b._ready():
            await b._run(spec, ready)
    b["b"]._write = arrived
    await b.settle()

    assert b["b"].find(Phone="2") == [there]
    assert await b.all_conflicts() == []
    await b.close()
