"""
The dispatcher: from committed deliveries to runs.

    bus -> lanes (one per handler, tenant, key) -> gates -> turns -> runs -> settled
    sweep: open deliveries that the bus did not carry        clock: delays and retries that are due

Everything it holds is bounded and can be lost: the store knows what is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from dovetail.core.clock import Clock, to_micros
from dovetail.errors import StoreError
from dovetail.runtime.bus.port import Bus
from dovetail.runtime.delivery import Delivery, finished_of, orphan_error
from dovetail.runtime.gather import skip
from dovetail.runtime.handler import HandlerSpec, Subscriptions
from dovetail.runtime.lane import IDLE, READY, RUNNING, WAITING, Lane, LaneKey, ReadyGroup
from dovetail.runtime.patience import Patience
from dovetail.runtime.run import Runner
from dovetail.runtime.store.port import Store
from dovetail.runtime.suspect import Suspects, too_many_deaths
from dovetail.runtime.sweep import Sweep
from dovetail.runtime.throttle import load_windows, save_window
from dovetail.runtime.timers import Timers
from dovetail.runtime.turn import HandlerQueue, Places, Turns
from dovetail.runtime.watch import RunWatch

log = structlog.get_logger("dovetail.dispatcher")
_RECEIVE = 500


class Dispatcher:
    """
    Runs what is open, per key in order, different keys at the same time.

    Args:
        store: Where deliveries live.
        bus: Where committed deliveries arrive.
        subscriptions: The handlers of this process.
        runner: Runs one delivery or batch and keeps its books.
        watch: Counts and tells of runs.
        patience: What knows whether the store refuses.
        clock: Time.
        concurrency: Runs at the same time at most, over all handlers.
    """

    def __init__(
        self,
        *,
        store: Store,
        bus: Bus,
        subscriptions: Subscriptions,
        runner: Runner,
        watch: RunWatch,
        patience: Patience,
        clock: Clock,
        concurrency: int = 1024,
    ) -> None:
        self._store = store
        self._bus = bus
        self._runner = runner
        self._watch = watch
        self._patience = patience
        self._clock = clock
        self._queues = {name: HandlerQueue(spec) for name, spec in subscriptions.by_name.items()}
        self._turns = Turns()
        self._places = Places(concurrency)
        self._suspects = Suspects(store, clock)
        self._sweep = Sweep(store=store, bus=bus, patience=patience, clock=clock)
        self._lanes: dict[LaneKey, Lane] = {}
        self._gathering: list[tuple[HandlerQueue, Lane]] = []
        self._runs: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._timers = Timers()
        self._stopping = False
        self._pumps = False
        patience.on_accepted = self._pump

    def start(self) -> None:
        """Begin receiving, sweeping and watching the clock."""
        for name, loop in (
            ("receive", self._receive),
            ("sweep", self._sweep.keep_up),
            ("due", self._sweep.wake_due),
            ("stops", self._runner.watch_stops),
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
        self._timers.stop()
        await asyncio.gather(*self._loops, return_exceptions=True)
        unfinished: set[asyncio.Task[None]] = set()
        if self._runs:
            _, unfinished = await asyncio.wait(self._runs, timeout=deadline_s)
            for run in unfinished:
                run.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        with suppress(StoreError):  # what is open then looks suspect, which costs a write each
            await self._suspects.end()
        return len(unfinished)

    @property
    def is_alive(self) -> bool:
        """Whether its loops go on; one that ended by itself is a fault."""
        return bool(self._loops) and not any(loop.done() for loop in self._loops)

    @property
    def running(self) -> int:
        """How many runs are going on."""
        return len(self._runs)

    def look_at_schedule(self) -> None:
        """Note that a delivery was scheduled for later."""
        self._sweep.look_at_schedule()

    async def _begin(self) -> None:
        await self._suspects.begin()
        throttled = {
            name: queue.gates
            for name, queue in self._queues.items()
            if queue.gates is not None and queue.spec.flow.throttle is not None
        }
        if throttled:
            await load_windows(self._store, throttled, self._clock)

    async def _receive(self) -> None:
        await self._patience.insist(self._begin)
        while True:
            received = await self._bus.receive(_RECEIVE)
            if not received:
                return
            for delivery in received:
                self._enqueue(delivery)
            for queue, lane in self._gathering:
                if lane.state == IDLE:
                    self._make_ready(queue, lane)
            self._gathering.clear()
            self._pump()

    def _enqueue(self, delivery: Delivery) -> None:
        queue = self._queues.get(delivery.handler)
        if queue is None:
            self._spawn(self._park(delivery, orphan_error(delivery)))
            return
        key = delivery.lane
        if queue.lane_key is not None or queue.gates is not None:
            try:
                key = (key[0], key[1], queue.spec.flow.check_keys(delivery.event))
            except Exception as error:
                self._spawn(self._park(delivery, error))
                return
        lane = self._lanes.get(key)
        if lane is None:
            batch = queue.spec.batch
            group = batch.group(delivery.event) if batch is not None else ""
            lane = self._lanes[key] = Lane(key, queue.spec, group)
        elif queue.skips:
            self._spawn(self._skip(delivery))
            return
        if queue.gathers:
            lane.add(delivery, to_micros(self._clock.now()), self._clock.monotonic())
        else:
            lane.waiting.append(delivery)
        if lane.state == IDLE and queue.gathers:
            # Judged by all that came with it: after a restart the head has often waited enough.
            self._gathering.append((queue, lane))
        elif lane.state == IDLE:
            self._make_ready(queue, lane)
        elif queue.gathers and lane.state == WAITING:
            self._hurry(queue, lane)

    def _make_ready(self, queue: HandlerQueue, lane: Lane) -> None:
        if not lane.waiting[0].fresh or queue.gathers:
            wait_s = lane.wait_s(to_micros(self._clock.now()), self._clock.monotonic())
            if wait_s > 0:
                lane.state = WAITING
                lane.timer = self._timers.later(wait_s, partial(self._due_lane, queue, lane))
                return
        lane.state = READY
        if lane.waiting[0].starts and self._suspects.hold(lane):
            return
        self._add(queue, lane)

    def _hurry(self, queue: HandlerQueue, lane: Lane) -> None:
        """Let a lane that gathers run as soon as it has enough."""
        batch, head = queue.spec.flow.batch, lane.waiting[0]
        if batch is None or head.attempt or len(lane.waiting) < batch.size:
            return
        if lane.timer is not None:
            self._timers.cancel(lane.timer)
            lane.timer = None
        self._make_ready(queue, lane)

    def _due_lane(self, queue: HandlerQueue, lane: Lane) -> None:
        lane.timer = None
        if lane.state != WAITING:
            return
        if queue.spec.flow.debounce is not None and not lane.waiting[0].attempt:
            # More may have come while it was waited for quiet.
            self._make_ready(queue, lane)
        else:
            # Waited out, whatever the wall clock shows by now.
            lane.state = READY
            if not (lane.waiting[0].starts and self._suspects.hold(lane)):
                self._add(queue, lane)
        self._pump()

    def _add(self, queue: HandlerQueue, lane: Lane) -> None:
        group = queue.add(lane, self._clock.monotonic())
        self._queue_group(queue, group)

    def _queue_group(self, queue: HandlerQueue, group: ReadyGroup) -> None:
        if queue.spec.batch is not None and queue.spec.batch.linger_s:
            linger = group.linger_left(self._clock.monotonic())
            if linger > 0:
                if not group.lingers:
                    group.lingers = True
                    self._timers.later(linger, partial(self._lingered, queue, group))
                return
        queue.queue(group)
        self._turns.add(queue)

    def _lingered(self, queue: HandlerQueue, group: ReadyGroup) -> None:
        group.lingers = False
        self._queue_group(queue, group)
        self._pump()

    def _pump_soon(self) -> None:
        """Start what can start once everything that ends now has ended: a commit ends many."""
        if not self._pumps:
            self._pumps = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Start what can start: handlers in turn, so that none waits for another's backlog."""
        self._pumps = False
        if self._stopping or self._patience.is_refused:
            return
        crowded: list[HandlerQueue] = []
        while (queue := self._turns.next()) is not None:
            found = None
            if self._places.are_free(queue):
                found = queue.next(self._places.tenant_check(queue))
            if found is None:
                # No place for it: it keeps its turn for when one is free.
                crowded.append(queue)
                continue
            group, lanes = found
            if queue.gates is None or self._enter(queue, lanes[0]):
                self._start(queue, group, lanes)
                queue.passed += 1.0 / queue.weight
            self._turns.add(queue)
        for queue in crowded:
            self._turns.add(queue)

    def _enter(self, queue: HandlerQueue, lane: Lane) -> bool:
        assert queue.gates is not None  # noqa: S101 - only asked where there are any
        now = self._clock.monotonic()
        entry = queue.gates.enter(lane, now)
        if entry.instead is not None:
            self._add(queue, entry.instead)
        if entry.window is not None:
            self._watch_window(queue, entry.window, now)
        return entry.may_start

    def _watch_window(self, queue: HandlerQueue, scope: str, now: float) -> None:
        assert queue.gates is not None  # noqa: S101 - only asked where there are any
        window = queue.gates.windows[scope]
        wait_s = window.wait_s(now)
        if window.held.count and wait_s > 0 and not window.is_timed:
            window.is_timed = True
            # A little later than exactly: a float that is rounded down would wake it too early.
            self._timers.later(wait_s + 0.000_1, partial(self._window_moved, queue, scope))

    def _window_moved(self, queue: HandlerQueue, scope: str) -> None:
        assert queue.gates is not None  # noqa: S101 - only asked where there are any
        now = self._clock.monotonic()
        queue.gates.windows[scope].is_timed = False
        for lane in queue.gates.release(scope, now):
            self._add(queue, lane)
        self._watch_window(queue, scope, now)
        self._pump()

    def _start(self, queue: HandlerQueue, group: ReadyGroup, lanes: list[Lane]) -> None:
        self._places.take(queue)
        queue.began(group, lanes)
        for lane in lanes:
            lane.state = RUNNING
        self._spawn(self._serve(queue, group, lanes, self._clock.monotonic()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._runs.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # Only now is the run over: one that pumped before its own end would still count.
        self._runs.discard(task)
        self._pump_soon()

    async def _serve(
        self, queue: HandlerQueue, group: ReadyGroup, lanes: list[Lane], started_at: float
    ) -> None:
        self._places.began_after(self._clock.monotonic() - started_at)
        taken = [lane.take() for lane in lanes]
        try:
            kept = await self._guarded_run(queue, lanes, taken)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # The runner turns a handler's errors into outcomes; this is a fault of ours. The
            # deliveries stay open in the store; put them back so that they are tried again.
            log.error("run_bookkeeping_failed", handler=queue.spec.name, error=repr(error))  # noqa: TRY400
            kept = taken
            await self._clock.sleep(1.0)
        finally:
            self._places.give_back(queue)
            queue.ended(group, lanes)
            self._turns.add(queue)
        for lane, left in zip(lanes, kept, strict=True):
            self._release(queue, lane, left)
        self._bus.settle(finished_of(taken, kept))

    async def _guarded_run(
        self, queue: HandlerQueue, lanes: list[Lane], taken: list[list[Delivery]]
    ) -> list[list[Delivery]]:
        if lanes[0].window is not None and queue.gates is not None:
            await save_window(
                self._store, queue.spec.name, queue.gates, lanes[0].window, self._clock
            )
        suspects = self._suspects.among(taken)
        if not suspects:
            return await self._run(queue.spec, taken)
        parked = too_many_deaths(suspects, queue.spec.retry.deaths)
        if parked:
            gone = {delivery.id for delivery, _ in parked}
            for delivery, error in parked:
                await self._runner.park(delivery, error)
            return [[one for one in lane if one.id not in gone] for lane in taken]
        await self._suspects.note(suspects)
        kept = await self._run(queue.spec, taken)
        await self._suspects.clear(suspects)
        return kept

    async def _run(self, spec: HandlerSpec, taken: list[list[Delivery]]) -> list[list[Delivery]]:
        with self._watch.serving(spec.name, taken) as serving:
            if spec.batch is not None:
                serving.kept = await self._runner.run_batch(spec, taken)
            elif spec.flow.batch is not None:
                serving.kept = [await self._runner.run_list(spec, taken[0])]
            else:
                serving.kept = [await self._runner.run_one(spec, taken[0])]
            return serving.kept

    def _release(self, queue: HandlerQueue, lane: Lane, left: list[Delivery]) -> None:
        if lane.place is not None and queue.gates is not None:
            held = queue.gates.leave(lane.place)
            if held is not None:
                self._add(queue, held)
        lane.place = lane.window = None
        next_alone = self._suspects.let_go(lane)
        if next_alone is not None:
            self._add(self._queues[next_alone.spec.name], next_alone)
        lane.state = IDLE
        if left:
            lane.put_back(left, self._clock.monotonic())
        if lane.waiting:
            self._make_ready(queue, lane)
        else:
            self._lanes.pop(lane.key, None)

    async def _park(self, delivery: Delivery, error: BaseException) -> None:
        await self._runner.park(delivery, error)
        self._bus.settle([delivery])

    async def _skip(self, delivery: Delivery) -> None:
        await skip(self._store, self._patience, delivery, self._clock, self.look_at_schedule)
        self._bus.settle([delivery])
