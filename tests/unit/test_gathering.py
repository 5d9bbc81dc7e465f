"""Calls gathered from many callers: what travels together, what never does, what each is told."""

import asyncio
import contextvars
import gc
import traceback
import weakref
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import structlog

from dovetail.connector_sdk.gathering import Gathering, Target
from dovetail.connector_sdk.lane import Lane, current_lane, lane
from dovetail.connector_sdk.record import RemoteRecord, Write, WriteResult
from dovetail.connectors.hubspot.crm_object import CONTACTS
from dovetail.errors import (
    InternalError,
    MalformedResponseError,
    RateLimitedError,
    RecordInvalidError,
)

CONTACT = replace(CONTACTS.resource, write_batch=10, read_batch=10)
AT = datetime(2026, 3, 1, tzinfo=UTC)
whose = contextvars.ContextVar("whose", default="nobody")


class Platform:
    """Answers after `seconds`; `calls` holds what each call carried."""

    def __init__(self, seconds=1.0 / 16):
        self.calls = []
        self.seen = []
        self.going = 0
        self.most_going = 0
        self.ended = 0
        self.seconds = seconds
        self.refuse = {}
        self.fail = None

    async def _answer(self, asked):
        self.calls.append(asked)
        logged = structlog.contextvars.get_contextvars()
        self.seen.append((whose.get(), current_lane(), logged))
        self.going += 1
        self.most_going = max(self.most_going, self.going)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.going -= 1
        self.ended += 1
        if self.fail is not None:
            raise self.fail

    async def write(self, resource, writes, fields):
        await self._answer([one.id or one.fields.get("email") for one in writes])
        results = []
        for one in writes:
            error = self.refuse.get(one.id)
            record = RemoteRecord(id=one.id or "new", fields=dict(one.fields), modified_at=AT)
            results.append(
                WriteResult(key=one.key, error=error)
                if error
                else WriteResult(key=one.key, id=one.id, record=record)
            )
        return results

    async def read_many(self, resource, ids, fields):
        await self._answer(list(ids))
        if any(id in self.refuse for id in ids):
            raise next(self.refuse[id] for id in ids if id in self.refuse)
        return [RemoteRecord(id=id, fields={"email": id}, modified_at=AT) for id in ids]

    async def find_many(self, resource, field, values, fields):
        await self._answer(list(values))
        found = RemoteRecord(id="1", fields={field: "a"}, modified_at=AT)
        return {value: [found] for value in values if value != "unknown"}


def target(platform, fields=("email",), **facts):
    return Target(platform, CONTACT, fields, {"platform": "hubspot", "tenant": "acme", **facts})


def update(id, **fields):
    return Write(action="update", key=f"{id} {fields}", id=id, fields=fields or {"phone": "1"})


async def numbers(gathering, platform, count, **options):
    """Update that many records at once; return what became of each."""
    return await asyncio.gather(
        *(gathering.write(target(platform), update(str(n))) for n in range(count)), **options
    )


async def test_what_is_asked_for_in_one_turn_leaves_together_and_without_a_wait():
    platform, gathering = Platform(), Gathering()
    started = asyncio.get_running_loop().time()

    results = await numbers(gathering, platform, 7)

    assert platform.calls == [["0", "1", "2", "3", "4", "5", "6"]]
    assert [one.record.id for one in results] == ["0", "1", "2", "3", "4", "5", "6"]
    assert asyncio.get_running_loop().time() - started == platform.seconds


async def test_what_comes_during_a_call_leaves_together_when_it_has_ended():
    platform, gathering = Platform(), Gathering()

    async def later(id, seconds):
        await asyncio.sleep(seconds)
        await gathering.write(target(platform), update(id))

    await asyncio.gather(later("a", 0), later("b", 0.01), later("c", 0.02))

    assert platform.calls == [["a"], ["b", "c"]]


async def test_a_whole_batch_does_not_wait_for_the_call_before_it():
    platform, gathering = Platform(), Gathering()

    await numbers(gathering, platform, 25)

    assert [len(call) for call in platform.calls] == [10, 10, 5]
    assert platform.most_going == 2


async def test_a_call_that_hangs_does_not_hold_up_those_behind_it_for_long():
    platform, gathering = Platform(seconds=3600), Gathering()
    loop = asyncio.get_running_loop()
    hung = loop.create_task(gathering.write(target(platform), update("a")))
    await asyncio.sleep(0.01)

    started, platform.seconds = loop.time(), 0.5
    await gathering.write(target(platform), update("b"))

    assert loop.time() - started < 2
    hung.cancel()
    await asyncio.wait([hung])


async def test_writes_of_one_record_never_share_a_call_and_keep_their_order():
    platform, gathering = Platform(), Gathering()
    to = target(platform)
    remove = Write(action="delete", key="k", id="a")

    await asyncio.gather(
        gathering.write(to, update("a", phone="1")),
        gathering.write(to, update("b", phone="1")),
        gathering.write(to, update("a", phone="2")),
        gathering.write(to, remove),
        gathering.write(to, update("a", phone="3")),
    )

    assert platform.calls == [["a", "b"], ["a"], ["a"], ["a"]]
    assert platform.most_going == 1


async def test_creates_that_a_look_up_could_not_tell_apart_never_share_a_call():
    platform, gathering = Platform(), Gathering()

    def create(key, **fields):
        return gathering.write(target(platform), Write(action="create", key=key, fields=fields))

    await asyncio.gather(
        create("1", email="ada@example.com", lastname="Lovelace"),
        create("2", email="Ada@Example.com ", lastname="L."),
        create("3", lastname="Doe", phone="1"),
        create("4", phone="1", lastname="Doe"),
        create("5", lastname="Doe", phone="2"),
    )

    assert platform.calls == [["ada@example.com", None, None], ["Ada@Example.com ", None]]


async def test_a_refused_row_fails_alone_and_each_error_is_an_object_of_its_own():
    platform, gathering = Platform(), Gathering()
    refused = RecordInvalidError("no", fields={"phone": "too short"}, platform="hubspot")
    platform.refuse = {"1": refused, "3": refused}

    outcomes = await numbers(gathering, platform, 5, return_exceptions=True)

    errors = [one for one in outcomes if isinstance(one, Exception)]
    assert [isinstance(one, Exception) for one in outcomes] == [False, True, False, True, False]
    assert len({id(one) for one in [*errors, refused]}) == 3
    assert all(one.fields == {"phone": "too short"} for one in errors)
    assert all(one.to_record() == refused.to_record() for one in errors)


@pytest.mark.parametrize(
    "error",
    [
        RateLimitedError("slow down", retry_after_s=9.0, platform="hubspot"),
        OSError(28, "No space left on device"),
    ],
)
async def test_what_fails_a_whole_call_is_told_to_every_row_as_its_own(error):
    platform, gathering = Platform(), Gathering()
    platform.fail = error

    outcomes = await numbers(gathering, platform, 3, return_exceptions=True)

    assert len(platform.calls) == 1
    assert {type(one) for one in outcomes} == {type(error)}
    assert {str(one) for one in outcomes} == {str(error)}
    assert len({id(one) for one in [*outcomes, error]}) == 4
    assert all("_answer" in _functions(one) for one in outcomes)


def _functions(error):
    """Return the names of the functions that an error came through."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


async def test_an_error_that_cannot_be_made_again_still_reaches_everybody():
    class OddError(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} {two}")

    platform, gathering = Platform(), Gathering()
    platform.fail = OddError(1, 2)

    outcomes = await numbers(gathering, platform, 2, return_exceptions=True)

    assert [type(one) for one in outcomes] == [InternalError, InternalError]
    assert all("OddError: 1 2" in str(one) for one in outcomes)


async def test_a_call_that_is_refused_whole_is_halved_until_the_bad_row_stands_alone():
    platform, gathering = Platform(), Gathering()
    platform.refuse = {"5": RecordInvalidError("not an id")}

    async def read(id):
        return await gathering.read(target(platform), id)

    outcomes = await asyncio.gather(*(read(str(n)) for n in range(8)), return_exceptions=True)

    assert [isinstance(one, RecordInvalidError) for one in outcomes].index(True) == 5
    assert [one.id for n, one in enumerate(outcomes) if n != 5] == list("0123467")


async def test_a_record_that_makes_an_answer_unreadable_fails_its_reader_alone():
    platform, gathering = Platform(), Gathering()
    platform.refuse = {"b": MalformedResponseError("no id")}
    reads = (gathering.read(target(platform), id) for id in "abc")

    first, second, third = await asyncio.gather(*reads, return_exceptions=True)

    assert (first.id, third.id) == ("a", "c")
    assert isinstance(second, MalformedResponseError)


async def test_what_several_read_is_asked_for_once_and_shared_by_none():
    platform, gathering = Platform(), Gathering()
    to = target(platform)

    one, two, other = await asyncio.gather(*(gathering.read(to, id) for id in "aab"))
    found, again, nothing = await asyncio.gather(
        *(gathering.find(to, "email", value) for value in ("a", "a", "unknown"))
    )

    assert platform.calls == [["a", "b"], ["a", "unknown"]]
    assert one == two != other
    assert one.fields is not two.fields
    assert found == again != nothing == []
    assert found[0] is not again[0]


async def test_a_cancelled_row_that_waits_is_never_sent():
    platform, gathering = Platform(), Gathering()
    first = asyncio.create_task(gathering.write(target(platform), update("a")))
    await asyncio.sleep(0.01)
    waiting = [
        asyncio.create_task(gathering.write(target(platform), update(id))) for id in ("b", "c", "b")
    ]
    await asyncio.sleep(0)

    waiting[0].cancel()
    await asyncio.wait([first, *waiting])

    assert platform.calls == [["a"], ["c", "b"]]


async def test_a_row_that_is_cancelled_on_its_way_harms_none_beside_it():
    platform, gathering = Platform(), Gathering()
    tasks = [
        asyncio.create_task(gathering.write(target(platform), update(id))) for id in ("a", "b")
    ]
    await asyncio.sleep(0.01)

    tasks[0].cancel()
    again = asyncio.create_task(gathering.write(target(platform), update("a", phone="2")))

    assert (await tasks[1]).id == "b"
    assert (await again).id == "a"
    assert tasks[0].cancelled()
    assert platform.calls == [["a", "b"], ["a"]]
    assert platform.ended == 2


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5])
async def test_a_call_that_nobody_waits_for_is_cancelled_and_leaves_the_way_free(turns):
    platform, gathering = Platform(), Gathering()
    tasks = [
        asyncio.create_task(gathering.write(target(platform), update(id))) for id in ("a", "b")
    ]
    for _ in range(turns):
        await asyncio.sleep(0)

    for one in tasks:
        one.cancel()
    await asyncio.wait(tasks)

    assert (platform.going, platform.ended) == (0, 0)
    assert (await gathering.write(target(platform), update("a"))).id == "a"


async def test_connections_lanes_and_fields_never_share_a_call():
    one, other, gathering = Platform(), Platform(), Gathering()

    async def write(to, id, in_lane=Lane.USER):
        with lane(in_lane):
            await gathering.write(to, update(id))

    await asyncio.gather(
        write(target(one), "a"),
        write(target(other), "b"),
        write(target(one), "c"),
        write(target(one), "d", Lane.BACKFILL),
        write(target(one, fields=("email", "phone")), "e"),
    )

    assert sorted(one.calls) == [["a", "c"], ["d"], ["e"]]
    assert other.calls == [["b"]]
    assert sorted(in_lane for _, in_lane, _ in one.seen) == [Lane.USER, Lane.USER, Lane.BACKFILL]


async def test_a_lone_call_is_made_where_its_run_is_and_a_gathered_one_where_the_app_is():
    whose.set("the app")
    platform, gathering = Platform(), Gathering()

    async def run(id, wait_s):
        whose.set(f"run {id}")
        await asyncio.sleep(wait_s)
        with structlog.contextvars.bound_contextvars(order=id), lane(Lane.USER):
            await gathering.write(target(platform, connection="c1"), update(id))
            assert structlog.contextvars.get_contextvars() == {"order": id}
        assert whose.get() == f"run {id}"

    await asyncio.gather(run("a", 0), run("b", 1), run("c", 1))

    facts = {"platform": "hubspot", "tenant": "acme", "connection": "c1", "rows": 2}
    assert platform.seen == [
        ("run a", Lane.USER, {"order": "a"}),
        ("the app", Lane.USER, facts),
    ]


async def test_a_connector_that_nobody_uses_any_more_is_let_go():
    platform, gathering = Platform(), Gathering()
    await numbers(gathering, platform, 3)
    gone = weakref.ref(platform)

    del platform
    gc.collect()

    assert gone() is None
