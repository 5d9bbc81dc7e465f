"""Group commit and dispatch: whatever fails, everything else is done once and in order."""

import asyncio
import os
import random
from collections import defaultdict

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.errors import StoreError, TransientError
from dovetail.model.event import Event
from dovetail.runtime.bus.local import LocalBus
from dovetail.runtime.engine import Runtime
from dovetail.runtime.handler import HandlerSpec, Subscriptions
from dovetail.runtime.history import count_by_status
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.retry import Retry
from dovetail.runtime.store.schema import events, metadata, schedules
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.service.context import send
from dovetail.testing.app import seeded_ports
from dovetail.testing.loop import run

EXAMPLES = settings(
    max_examples=int(os.environ.get("DOVETAIL_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


# --- group commit

WORKS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "each", "each", "fail", "fail each", "leave"]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=60,
)


def put(tx, number):
    tx.run(sa.insert(schedules).values(name=f"{number:04}", last_due_at=tx.allocate("order", 1)))
    return number


def put_each(tx, numbers):
    for number in numbers:
        put(tx, abs(number))
    if any(number < 0 for number in numbers):
        raise LookupError("on purpose")
    return numbers


def put_and_fail(tx, number):
    put(tx, number)
    raise LookupError("on purpose")


async def submit(store, kind, number):
    if kind == "write":
        return await store.write(lambda tx: put(tx, number))
    if kind == "each":
        return await store.write_each(put_each, number)
    if kind == "fail each":
        return await store.write_each(put_each, -number)
    return await store.write(lambda tx: put_and_fail(tx, number))


@EXAMPLES
@given(WORKS)
def test_works_that_fail_leave_nothing_and_the_others_are_committed_in_order(works):
    async def body():
        store = SqliteStore(":memory:", seeded_ports())
        await store.open()
        await store.migrate(metadata.create_all)
        tasks = []
        for number, (kind, pause) in enumerate(works, start=1):
            task = asyncio.create_task(submit(store, "write" if kind == "leave" else kind, number))
            tasks.append(task)
            await asyncio.sleep(0)
            if kind == "leave":  # the caller is gone; what was accepted is written all the same
                task.cancel()
            for _ in range(pause):
                await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        rows = await store.read(
            lambda tx: tx.rows(sa.select(schedules).order_by(schedules.c.last_due_at))
        )
        await store.close()
        good = [n for n, (kind, _) in enumerate(works, start=1) if "fail" not in kind]
        assert [int(row.name) for row in rows] == good
        assert [row.last_due_at for row in rows] == list(range(1, len(good) + 1))
        for number, (kind, _) in enumerate(works, start=1):
            result = results[number - 1]
            if "fail" in kind:
                assert isinstance(result, LookupError)
            elif kind == "leave":
                assert isinstance(result, (asyncio.CancelledError, int))
            else:
                assert result == number

    run(body())


# --- dispatch

EVENTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.sampled_from([0, 0, 0.1, 3.0])),
    min_size=1,
    max_size=30,
)


class World:
    """Events with keys, a handler that fails as often as each event says, and restarts."""

    def __init__(self, path, capacity):
        self.path, self.capacity = path, capacity
        self.running = set()
        self.tries = defaultdict(int)
        self.overlapped = False
        self.ports = seeded_ports(7)

    async def handle(self, event: Event) -> None:
        number, failures = event.payload["number"], event.payload["failures"]
        if event.key in self.running:
            self.overlapped = True
        self.running.add(event.key)
        try:
            await asyncio.sleep(event.payload["takes"])
            self.tries[number] += 1
            await send("thing.done", number=number, key=event.key)
            if self.tries[number] <= failures:
                raise TransientError("not yet")
        finally:
            self.running.discard(event.key)

    async def start(self):
        ports = self.ports
        self.store = SqliteStore(self.path, ports, synchronous="OFF")
        await self.store.open()
        await self.store.migrate(metadata.create_all)
        bus = LocalBus(self.capacity)
        self.log = EventLog(Subscriptions([]), ports.clock, ports.ids, bus)
        spec = HandlerSpec(
            name="handle",
            patterns=("thing.happened",),
            call=self.handle,
            retry=Retry(attempts=50, max_s=5),
        )
        self.runtime = Runtime(
            store=self.store, bus=bus, log=self.log, handlers=[spec], ports=ports, concurrency=3
        )
        self.runtime.start()

    async def stop(self):
        await self.runtime.stop(0)
        await self.store.close()


@EXAMPLES
@given(
    wanted=EVENTS,
    capacity=st.sampled_from([1, 2, 7, 1000]),
    chunk=st.integers(1, 8),
    restarts=st.lists(st.sampled_from([0.0, 0.05, 1.0, 4.0]), max_size=4),
)
def test_each_event_has_its_effect_once_and_keys_keep_their_order(
    tmp_path_factory, wanted, capacity, chunk, restarts
):
    async def body():
        path = tmp_path_factory.mktemp("dispatch") / "app.db"
        world = World(path, capacity)
        await world.start()
        pending = [
            EventDraft(
                type="thing.happened",
                payload={"number": number, "failures": failures, "takes": takes},
                business_id="b",
                source="test",
                key=key,
            )
            for number, (key, failures, takes) in enumerate(wanted)
        ]
        pauses = list(restarts)
        while pending:
            some, pending = pending[:chunk], pending[chunk:]
            await world.store.write(lambda tx, some=some: world.log.append(tx, some))
            if pauses:
                await asyncio.sleep(pauses.pop())
                await world.stop()
                await world.start()
        async with asyncio.timeout(100_000):
            await world.runtime.wait_idle()
        rows = await world.store.read(
            lambda tx: tx.rows(
                sa.select(events).where(events.c.type == "thing.done").order_by(events.c.seq)
            )
        )
        counts = await world.store.read(count_by_status)
        await world.stop()
        done = defaultdict(list)
        for row in rows:
            done[row.key].append(int(row.payload.split(b":")[1].rstrip(b"}")))
        asked = defaultdict(list)
        for number, (key, _, _) in enumerate(wanted):
            asked[key].append(number)
        assert done == asked
        assert not world.overlapped
        assert counts == {"done": len(wanted)}

    run(body())


@EXAMPLES
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_a_bus_that_forgets_costs_time_but_no_event(seed, count):
    """The bus may lose whatever it was offered: the sweep offers it again."""

    async def body():
        rng = random.Random(seed)

        class Forgetful(LocalBus):
            def offer(self, first, last, ready):
                if rng.random() < 0.5:
                    self._end = max(self._end, last)
                    self._tell_behind()
                    return
                super().offer(first, last, ready)

        seen = []

        async def handle(event):
            seen.append(event.payload["n"])

        ports = seeded_ports(seed)
        store = SqliteStore(":memory:", ports)
        await store.open()
        await store.migrate(metadata.create_all)
        bus = Forgetful(rng.choice([1, 3, 100]))
        log = EventLog(Subscriptions([]), ports.clock, ports.ids, bus)
        spec = HandlerSpec(name="handle", patterns=("*",), call=handle)
        runtime = Runtime(store=store, bus=bus, log=log, handlers=[spec], ports=ports)
        runtime.start()
        for n in range(count):
            draft = EventDraft(
                type="a.b", payload={"n": n}, business_id="b", source="test", key="one"
            )
            await store.write(lambda tx, draft=draft: log.append(tx, [draft]))
            if rng.random() < 0.3:
                await asyncio.sleep(rng.random())
        async with asyncio.timeout(10_000):
            await runtime.wait_idle()
        await runtime.stop(0)
        await store.close()
        assert seen == list(range(count))

    run(body())


@EXAMPLES
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_a_database_that_refuses_is_told_to_every_caller_of_the_commit(refusals):
    async def body():
        store = SqliteStore(":memory:", seeded_ports())
        await store.open()
        await store.migrate(metadata.create_all)
        honest = store._group._transact
        left = list(refusals)

        def refuse(work):
            if left and left.pop():
                raise StoreError("The database refused.", refusal="full")
            return honest(work)

        store._group._transact = refuse
        results = await asyncio.gather(
            *(store.write(lambda tx, n=n: put(tx, n)) for n in range(20)), return_exceptions=True
        )
        rows = await store.read(lambda tx: tx.rows(sa.select(schedules)))
        await store.close()
        told = {n for n, one in enumerate(results) if not isinstance(one, BaseException)}
        assert {int(row.name) for row in rows} == told
        assert all(isinstance(one, (int, StoreError)) for one in results)

    run(body())
