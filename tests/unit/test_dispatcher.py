"""The dispatcher: coalescing, batches, backlogs, other processes' events, restarts."""

import asyncio
import itertools
from contextlib import asynccontextmanager

import pytest

from dovetail.app.schema import upgrade
from dovetail.errors import PermanentError, RateLimitedError, TransientError
from dovetail.runtime.bus.local import LocalBus
from dovetail.runtime.dead_letter import list_dead
from dovetail.runtime.engine import Runtime
from dovetail.runtime.handler import Batch, HandlerSpec, Subscriptions
from dovetail.runtime.history import count_by_status
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.retry import Retry
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports


@asynccontextmanager
async def runtime(*handlers, path=":memory:", capacity=20_000, start=True, stop_s=5.0, seed=0):
    ports = seeded_ports(seed)
    store = SqliteStore(path, ports)
    await store.open()
    await store.migrate(upgrade)
    bus = LocalBus(capacity)
    log = EventLog(Subscriptions([]), ports.clock, ports.ids, bus)
    made = Runtime(store=store, bus=bus, log=log, handlers=handlers, ports=ports)
    if start:
        made.start()
    try:
        yield made
    finally:
        await made.stop(stop_s)
        await store.close()


async def send(made, *keys, type="thing.happened", tenant="acme"):
    drafts = [
        EventDraft(type=type, key=key, payload={"n": n}, business_id=tenant, source="test")
        for n, key in enumerate(keys)
    ]
    await made.store.write(lambda tx: made.log.append(tx, drafts))


def handler(call, **options):
    return HandlerSpec(name="handle", patterns=("thing.happened",), call=call, **options)


async def counts(made):
    return await made.store.read(count_by_status)


async def test_a_burst_on_one_key_is_served_by_the_latest_event():
    seen = []

    async def look(event):
        seen.append(event.payload["n"])
        await asyncio.sleep(1)

    async with runtime(handler(look, coalesce=True)) as made:
        await send(made, "a")
        await asyncio.sleep(0.5)
        await send(made, *["a"] * 10)
        await made.wait_idle()
        assert seen == [0, 9]
        assert await counts(made) == {"done": 11}


async def test_a_coalesced_run_that_fails_keeps_the_whole_burst():
    seen = []

    async def look(event):
        seen.append(event.payload["n"])
        if len(seen) == 1:
            raise TransientError("not yet")

    async with runtime(handler(look, coalesce=True)) as made:
        await send(made, *["a"] * 5)
        await made.wait_idle()
        assert seen == [4, 4]
        assert await counts(made) == {"done": 5}


async def test_a_batch_takes_many_keys_of_one_group_and_has_an_outcome_for_each():
    batches = []

    async def together(events):
        batches.append([event.key for event in events])
        await asyncio.sleep(1)
        return [PermanentError("no") if event.key == "x3" else None for event in events]

    batch = Batch(size=4, group=lambda event: event.key[0])
    async with runtime(handler(together, batch=batch)) as made:
        await send(made, *(f"x{n}" for n in range(6)), *(f"y{n}" for n in range(2)))
        await made.wait_idle()
        dead = await made.store.read(list_dead)

    assert sorted(key for batch in batches for key in batch) == sorted(
        [f"x{n}" for n in range(6)] + ["y0", "y1"]
    )
    assert all(len({key[0] for key in batch}) == 1 for batch in batches), "groups do not mix"
    assert max(len(batch) for batch in batches) == 4
    assert [letter.event.key for letter in dead] == ["x3"]


async def test_only_the_failed_part_of_a_batch_is_tried_again():
    batches = []

    async def together(events):
        batches.append(sorted(event.key for event in events))
        fails = len(batches) == 1
        return [TransientError("later") if fails and e.key == "b" else None for e in events]

    batch = Batch(size=10, group=lambda event: "", linger_s=0.5)
    async with runtime(handler(together, batch=batch)) as made:
        await send(made, "a", "b", "c")
        await made.wait_idle()

    assert batches == [["a", "b", "c"], ["b"]]


async def test_what_failed_together_is_tried_again_together():
    batches = []

    async def together(events):
        batches.append(sorted(event.key for event in events))
        if len(batches) < 4:
            raise TransientError("the platform is away")
        return [None] * len(events)

    batch = Batch(size=10, group=lambda event: "", linger_s=0.5)
    async with runtime(handler(together, batch=batch)) as made:
        await send(made, "a", "b", "c")
        await made.wait_idle()

    assert batches == [["a", "b", "c"]] * 4


async def test_a_burst_that_failed_waits_as_long_as_a_single_event():
    ran_at = []

    async def refuse(event):
        ran_at.append(asyncio.get_running_loop().time())
        raise RateLimitedError("later", retry_after_s=900.0)

    async with runtime(handler(refuse, coalesce=True, retry=Retry(attempts=4))) as made:
        await send(made, "a", "a")
        await asyncio.sleep(1_700)

    assert len(ran_at) == 2
    assert ran_at[1] - ran_at[0] >= 900


async def test_a_batch_handler_that_miscounts_loses_nothing():
    async def together(events):
        return []

    batch = Batch(size=10, group=lambda event: "")
    async with runtime(handler(together, batch=batch)) as made:
        await send(made, "a", "b")
        await made.wait_idle()
        assert await counts(made) == {"dead": 2}


async def test_a_backlog_that_does_not_fit_in_memory_is_worked_off():
    seen = []

    async def note(event):
        seen.append(event.key)

    async with runtime(handler(note), capacity=10) as made:
        for start in range(0, 300, 50):
            await send(made, *(f"k{n}" for n in range(start, start + 50)))
        await made.wait_idle()

    assert sorted(seen) == sorted(f"k{n}" for n in range(300))


async def test_what_another_process_wrote_is_found(tmp_path):
    seen = []

    async def note(event):
        seen.append(event.key)

    path = tmp_path / "app.db"
    async with runtime(handler(note), path=path) as made:
        async with runtime(handler(note), path=path, start=False, seed=1) as other:
            await send(other, "theirs")
        await send(made, "mine")
        await asyncio.sleep(3)
    assert sorted(seen) == ["mine", "theirs"]


async def test_runs_that_do_not_end_in_time_are_handed_back_and_run_again(tmp_path):
    began, ended = [], []

    async def slow(event):
        began.append(event.key)
        await asyncio.sleep(60)
        ended.append(event.key)

    path = tmp_path / "app.db"
    async with runtime(handler(slow), path=path, stop_s=1.0) as made:
        await send(made, "a", "b")
        await asyncio.sleep(5)
    assert (sorted(began), ended) == (["a", "b"], [])
    async with runtime(handler(slow), path=path) as made:
        await made.wait_idle()
    assert sorted(ended) == ["a", "b"]


async def test_runs_that_end_in_time_are_let_end(tmp_path):
    ended = []

    async def short(event):
        await asyncio.sleep(2)
        ended.append(event.key)

    async with runtime(handler(short), path=tmp_path / "app.db", stop_s=10.0) as made:
        await send(made, "a")
        await asyncio.sleep(0.5)
    assert ended == ["a"]


async def test_deliveries_of_a_handler_that_is_gone_are_parked_with_advice(tmp_path):
    async def wait(event):
        await asyncio.sleep(3600)

    path = tmp_path / "app.db"
    async with runtime(handler(wait), path=path, stop_s=0.1) as made:
        await send(made, "a")
        await asyncio.sleep(1)
    async with runtime(path=path) as made:
        await made.wait_idle()
        (letter,) = await made.store.read(list_dead)
    assert "handle" in letter.error["message"]
    assert "dead replay" in letter.error["message"]


@pytest.mark.parametrize("limit", [1, 3])
async def test_a_handler_runs_no_more_than_it_allows(limit):
    running = most = 0

    async def count(event):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    async with runtime(handler(count, concurrency=limit)) as made:
        await send(made, *"abcdefgh")
        await made.wait_idle()
    assert most == limit


async def test_one_slow_handler_does_not_hold_up_another():
    done = []

    async def slow(event):
        await asyncio.sleep(3600)

    async def quick(event):
        done.append(event.key)

    slow_spec = HandlerSpec(name="slow", patterns=("thing.*",), call=slow)
    quick_spec = HandlerSpec(name="quick", patterns=("thing.*",), call=quick)
    async with runtime(slow_spec, quick_spec, stop_s=0.1) as made:
        await send(made, *(str(n) for n in range(200)))
        await asyncio.sleep(5)
    assert len(done) == 200


async def test_retries_wait_longer_each_time_and_end():
    tries = []

    async def fail(event):
        tries.append(asyncio.get_running_loop().time())
        raise TransientError("down")

    async with runtime(handler(fail, retry=Retry(attempts=5, base_s=10, max_s=40))) as made:
        await send(made, "a")
        await made.wait_idle()
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert len(waits) == 4
    assert all(wait <= 41 for wait in waits)
