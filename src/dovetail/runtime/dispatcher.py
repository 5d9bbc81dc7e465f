"""
The dispatcher: from committed deliveries to runs.

    bus -> lanes (one per handler, tenant, key) -> ready groups -> runs -> settled
    sweep: open deliveries that the bus did not carry        clock: delays and retries that are due

Everything it holds is bounded and can be lost: the store knows what is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
import structlog

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.errors import InternalError, StoreError
from dovetail.runtime.bus.port import Bus
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.handler import HandlerSpec, Subscriptions
from dovetail.runtime.lane import Lane, LaneKey, ReadyGroup
from dovetail.runtime.log import event_of
from dovetail.runtime.run import Runner
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import OPEN, SCHEDULED, deliveries, events, sequences
from dovetail.runtime.watch import RunWatch

T = TypeVar("T")

log = structlog.get_logger("dovetail.dispatcher")

_RECEIVE = 500
# How often to look for what other processes wrote; where there are none, only to be safe.
_LOOK_EVERY_S = 1.0
_LOOK_ALONE_S = 3600.0


class Dispatcher:
    """
    Runs what is open, per key in order, different keys at the same time.

    Args:
        store: Where deliveries live.
        bus: Where committed deliveries arrive.
        subscriptions: The handlers of this process.
        runner: Runs one delivery or batch and keeps its books.
        watch: Counts and tells of runs.
        clock: Time.
        concurrency: Runs at the same time, over all handlers.
    """

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        subscriptions: Subscriptions,
        runner: Runner,
        watch: RunWatch,
        clock: Clock,
        concurrency: int = 128,
    ) -> None:
        self._store = store
        self._bus = bus
        self._subscriptions = subscriptions
        self._runner = runner
        self._watch = watch
        self._clock = clock
        self._concurrency = concurrency
        self._lanes: dict[LaneKey, Lane] = {}
        self._groups: dict[tuple[str, str], ReadyGroup] = {}
        self._ready: dict[tuple[str, str], ReadyGroup] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._stopping = False
        self._scheduled = asyncio.Event()
        self._look_every_s = _LOOK_EVERY_S if store.is_shared else _LOOK_ALONE_S

    def start(self) -> None:
        """Begin receiving, sweeping and watching the clock."""
        for name, loop in (
            ("receive", self._receive),
            ("sweep", self._sweep_loop),
            ("due", self._due_loop),
        ):
            self._loops.append(asyncio.create_task(loop(), name=f"dispatcher-{name}"))

    async def stop(self, deadline_s: float) -> int:
        """
        Take nothing new, let runs finish for *deadline_s*, then cancel the rest.

        Returns how many runs were cancelled; they are still open in the store and run again.
        """
        self._stopping = True
        for loop in self._loops:
            loop.cancel()
        for timer in self._timers:
            timer.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        unfinished: set[asyncio.Task[None]] = set()
        if self._runs:
            _, unfinished = await asyncio.wait(self._runs, timeout=deadline_s)
            for run in unfinished:
                run.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        return len(unfinished)

    @property
    def is_alive(self) -> bool:
        """Whether its loops go on; one that ended by itself is a fault."""
        return bool(self._loops) and not any(loop.done() for loop in self._loops)

    @property
    def running(self) -> int:
        """How many runs are going on."""
        return len(self._runs)

    async def _receive(self) -> None:
        while True:
            received = await self._bus.receive(_RECEIVE)
            if not received:
                return
            for delivery in received:
                self._enqueue(delivery)
            self._pump()

    def _enqueue(self, delivery: Delivery) -> None:
        spec = self._subscriptions.by_name.get(delivery.handler)
        if spec is None:
            self._spawn(self._park_orphan(delivery))
            return
        lane = self._lanes.get(delivery.lane)
        if lane is None:
            group = spec.batch.group(delivery.event) if spec.batch is not None else ""
            lane = self._lanes[delivery.lane] = Lane(delivery.lane, spec, group)
        lane.waiting.append(delivery)
        if len(lane.waiting) == 1 and not lane.running:
            self._make_ready(lane)

    def _make_ready(self, lane: Lane) -> None:
        wait_s = lane.waiting[0].wait_s(to_micros(self._clock.now()))
        if wait_s > 0:
            self._later(wait_s, lambda: self._due_lane(lane))
            return
        self._add_to_group(lane)

    def _add_to_group(self, lane: Lane) -> None:
        key = (lane.spec.name, lane.group)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = ReadyGroup(lane.spec)
        group.add(lane, self._clock.monotonic())
        self._ready[key] = group

    def _due_lane(self, lane: Lane) -> None:
        # Waited out, whatever the wall clock shows by now.
        if not lane.running and lane.waiting:
            self._add_to_group(lane)
            self._pump()

    def _later(self, wait_s: float, call: Callable[[], None]) -> None:
        handle: asyncio.TimerHandle

        def fire() -> None:
            self._timers.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(wait_s, fire)
        self._timers.add(handle)

    def _pump(self) -> None:
        """Start what can start: ready groups in turn, so that none waits for another's backlog."""
        progress = True
        while progress and not self._stopping and len(self._runs) < self._concurrency:
            progress = False
            for key, group in list(self._ready.items()):
                if not group.lanes:
                    del self._ready[key]
                    continue
                if group.running >= group.limit or len(self._runs) >= self._concurrency:
                    continue
                linger = group.linger_left(self._clock.monotonic())
                if linger > 0:
                    self._later(linger, self._pump)
                    continue
                self._start(group)
                progress = True

    def _start(self, group: ReadyGroup) -> None:
        lanes = group.next_lanes()
        group.running += 1
        for lane in lanes:
            lane.running = True
        self._spawn(self._serve(group, lanes))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._runs.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Only now is the place free: a run that pumped before its own end would still count.
        self._runs.discard(task)
        self._pump()

    async def _serve(self, group: ReadyGroup, lanes: list[Lane]) -> None:
        taken = [lane.take() for lane in lanes]
        try:
            kept = await self._run(group.spec, taken)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # The runner turns a handler's errors into outcomes; this is a fault of ours. The
            # deliveries stay open in the store; put them back so that they are tried again.
            log.error("run_bookkeeping_failed", handler=group.spec.name, error=repr(error))  # noqa: TRY400
            kept = taken
            await self._clock.sleep(1.0)
        finally:
            group.running -= 1
        for lane, left in zip(lanes, kept, strict=True):
            self._release(lane, left)
        self._bus.settle(_finished(taken, kept))

    async def _run(self, spec: HandlerSpec, taken: list[list[Delivery]]) -> list[list[Delivery]]:
        with self._watch.serving(spec.name, taken) as serving:
            if spec.batch is None:
                serving.kept = [await self._runner.run_one(spec, taken[0])]
            else:
                serving.kept = await self._runner.run_batch(spec, taken)
            return serving.kept

    def _release(self, lane: Lane, left: list[Delivery]) -> None:
        lane.running = False
        lane.put_back(left)
        if lane.waiting:
            self._make_ready(lane)
        else:
            self._lanes.pop(lane.key, None)

    async def _park_orphan(self, delivery: Delivery) -> None:
        await self._runner.park(
            delivery,
            InternalError(
                f"No handler is called {delivery.handler!r} any more. Bring it back and run "
                f"`dovetail dead replay {delivery.id}`, or discard the delivery.",
                handler=delivery.handler,
            ),
        )
        self._bus.settle([delivery])

    async def _sweep_loop(self) -> None:
        while True:
            await self._guarded(self._sweep)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_every_s):
                    await self._bus.wait_behind()

    async def _sweep(self) -> None:
        """Offer open deliveries that the bus has not taken (start, overflow, other processes)."""
        while (room := self._bus.room) > 0:
            position = self._bus.position
            limit = min(room, 5_000)
            up_to, found = await self._store.read(partial(_open_after, position, limit))
            if up_to <= position:
                break
            last = found[-1].id if len(found) == limit else up_to
            self._bus.offer(position + 1, last, found)
            if len(found) < limit:
                break

    def look_at_schedule(self) -> None:
        """Note that a delivery was scheduled for later."""
        self._scheduled.set()

    async def _due_loop(self) -> None:
        while True:
            self._scheduled.clear()
            await self._guarded(self._wake_due)
            wait_s = self._look_every_s
            due_at = await self._insist(self._store.read, _next_due)
            if due_at is not None:
                wait_s = min(wait_s, (due_at - to_micros(self._clock.now())) / 1_000_000)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(wait_s, 0.001)):
                    await self._scheduled.wait()

    async def _wake_due(self) -> None:
        now = to_micros(self._clock.now())
        while self._bus.room > 0:
            due = await self._store.read(lambda tx: _due(tx, now, 500))
            if not due:
                return
            await self._store.write(partial(_open_scheduled, due, self._bus))
            if len(due) < 500:
                return

    async def _insist(self, read: Callable[..., Awaitable[T]], query: Callable[[Tx], T]) -> T:
        while True:
            try:
                return await read(query)
            except StoreError as error:
                log.warning("store_refused", error=error.message)
                await self._clock.sleep(1.0)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except StoreError as error:
            log.warning("store_refused", error=error.message)
            await self._clock.sleep(1.0)


def _finished(taken: list[list[Delivery]], kept: list[list[Delivery]]) -> list[Delivery]:
    left = {delivery.id for lane in kept for delivery in lane}
    return [delivery for lane in taken for delivery in lane if delivery.id not in left]


_COLUMNS = (
    deliveries.c.id.label("delivery_id"),
    deliveries.c.handler,
    deliveries.c.attempt,
    deliveries.c.due_at,
    deliveries.c.history,
    *events.c,
)
_JOINED = sa.select(*_COLUMNS).join(events, events.c.seq == deliveries.c.event_seq)


def _delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        id=row.delivery_id,
        handler=row.handler,
        event=event_of(row),
        due_at=row.due_at,
        attempt=row.attempt,
        history=json.decode(row.history) if row.history else [],
    )


def _open_after(position: int, limit: int, tx: Tx) -> tuple[int, list[Delivery]]:
    # The upper end first: whatever commits between the two reads is beyond it.
    following = tx.scalar(sa.select(sequences.c.next).where(sequences.c.name == "deliveries"))
    up_to = int(following or 1) - 1
    rows = tx.rows(
        _JOINED.where(
            sa.text("deliveries.status = 0"),  # literal, so that the partial index serves it
            deliveries.c.id > position,
            deliveries.c.id <= up_to,
        )
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    return up_to, [_delivery(row) for row in rows]


def _due(tx: Tx, now: int, limit: int) -> list[Delivery]:
    rows = tx.rows(
        _JOINED.where(sa.text("deliveries.status = 2"), deliveries.c.due_at <= now)
        .order_by(deliveries.c.due_at, deliveries.c.id)
        .limit(limit)
    )
    return [_delivery(row) for row in rows]


def _next_due(tx: Tx) -> int | None:
    found = tx.scalar(sa.select(sa.func.min(deliveries.c.due_at)).where(sa.text("status = 2")))
    return int(found) if found is not None else None


def _open_scheduled(due: list[Delivery], bus: Bus, tx: Tx) -> None:
    ids = [delivery.id for delivery in due]
    tx.run(
        sa.update(deliveries)
        .where(deliveries.c.id.in_(ids), deliveries.c.status == SCHEDULED)
        .values(status=OPEN)
    )
    tx.after_commit(lambda: bus.redeliver(due))
