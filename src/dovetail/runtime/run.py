"""
Running deliveries and keeping their books: effect and "done" commit together.

    done    -> the unit of work is applied and the delivery finished in one transaction
    failed  -> retried after its backoff while the policy allows, then a dead letter
    paused  -> put off until the connection may be used again; no try is counted
    sleeps, waits -> suspended: committed so far, scheduled for when it goes on; see workflow.py
    cancelled, or failed for good -> undone first, where it has steps to undo; see saga.py
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import structlog

from dovetail.core.clock import Clock, to_micros
from dovetail.errors import (
    ConnectionPausedError,
    InternalError,
    RunCancelled,
    RunSuspended,
    StoreError,
    UsageError,
    describe,
)
from dovetail.runtime.books import Books
from dovetail.runtime.cancellation import asked_to_stop, end_cancelled
from dovetail.runtime.context import RunContext, current, unit_of_run
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.failure import FailedRuns
from dovetail.runtime.gather import ListContext
from dovetail.runtime.handler import BatchHandler, EventHandler, HandlerSpec, ListHandler
from dovetail.runtime.journal import Bounds, Journal
from dovetail.runtime.log import EventLog
from dovetail.runtime.patience import Patience, is_refusal
from dovetail.runtime.replayed_unit import ReplayedUnit
from dovetail.runtime.step_input import encode_returned
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import (
    CANCELLING,
    COMPENSATED,
    COMPENSATING,
)
from dovetail.runtime.undoing import Undoing
from dovetail.runtime.unit import UnitOfWork

log = structlog.get_logger("dovetail.run")

_LOOK_EVERY_S = 1.0
_LOOK_ALONE_S = 3600.0


class Runner:
    """
    Runs handlers for the dispatcher.

    Args:
        store: Where the books are kept.
        log: Where sent events go.
        clock: Time.
        rng: Jitter.
        services: What handlers can reach through their context (see `Context`).
        bounds: How much one run may record.
        patience: What knows whether the store refuses.
    """

    def __init__(
        self,
        store: Store,
        log: EventLog,
        clock: Clock,
        rng: random.Random,
        services: Any = None,
        bounds: Bounds | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._rng = rng
        self.services = services
        self._bounds = bounds or Bounds()
        self._patience = patience or Patience(clock)
        self._going: dict[int, RunContext] = {}
        self._stopping: set[int] = set()
        self._books = Books(store, log, clock, self._patience)
        self._undoing = Undoing(self, self._books, store, log, clock)

    @property
    def log(self) -> EventLog:
        """Where sent events go."""
        return self._log

    async def run_one(self, spec: HandlerSpec, taken: list[Delivery]) -> list[Delivery]:
        """
        Serve the deliveries of one lane with one run and return those that stay open.

        With coalescing, *taken* holds several and the run gets the latest event.
        """
        delivery = taken[-1]
        journal = self._journal(delivery)
        try:
            if not journal.loaded:
                await journal.load()
            stopping = journal.phase == CANCELLING or delivery.id in self._stopping
            if journal.phase in (COMPENSATING, COMPENSATED):
                return await self._undoing.go_on(spec, delivery, journal, {})
            if stopping and not journal.entries:
                return await self.end_cancelled(taken)
        except StoreError as refused:
            return (await self.fail(spec, [(taken, refused)]))[0]
        context = self.new_context(delivery, journal)
        context.saga = partial(self._undoing.saga, delivery, journal, context.undo)
        context.can_suspend = _can_suspend(spec)
        context.host = self
        context.cancelling = stopping
        error = await self.call(spec, context)
        return await self._settle(spec, taken, context, error)

    async def _settle(
        self,
        spec: HandlerSpec,
        taken: list[Delivery],
        context: RunContext,
        error: BaseException | None,
    ) -> list[Delivery]:
        """Keep the books of a pass that came to an end; return what stays open."""
        if context.suspension is not None and (error is None or isinstance(error, RunSuspended)):
            error = await self._suspend(taken, context)
        elif context.was_cancelled or isinstance(error, RunCancelled):
            return await self._undoing.begin(spec, context, error, cancelled=True)
        elif error is None:
            error = await self._finish(taken, context)
        if error is None:
            return []
        if isinstance(error, ConnectionPausedError):
            await self._books.put_off(taken, error)
            return []
        if await self._undoing.is_due(spec, context, error):
            return await self._undoing.begin(spec, context, error, cancelled=False)
        return (await self.fail(spec, [(taken, error)]))[0]

    async def _finish(self, taken: list[Delivery], context: RunContext) -> BaseException | None:
        returned = None
        if any(one.is_child for one in taken):
            try:
                returned = encode_returned(
                    taken[-1].handler, context.returned, self._bounds.result_bytes
                )
            except UsageError as error:
                return error
        stateful = _has_state(context)
        return await self._books.finish(taken, context.unit, stateful=stateful, returned=returned)

    async def call(self, spec: HandlerSpec, context: RunContext) -> BaseException | None:
        """Call the handler; return what it raised."""
        token = current.set(context)
        self._going[context.delivery_id] = context
        try:
            context.returned = await cast(EventHandler, spec.call)(context.event)
        except (Exception, RunCancelled, RunSuspended) as raised:
            return raised
        finally:
            del self._going[context.delivery_id]
            self._stopping.discard(context.delivery_id)
            current.reset(token)
        return None

    async def run_batch(
        self, spec: HandlerSpec, lanes: list[list[Delivery]]
    ) -> list[list[Delivery]]:
        """Serve many lanes with one call; return, per lane, the deliveries that stay open."""
        latest = [taken[-1] for taken in lanes]
        try:
            outcomes = await cast(BatchHandler, spec.call)([one.event for one in latest])
        except Exception as error:
            outcomes = [error] * len(lanes)
        if len(outcomes) != len(lanes):
            wrong = InternalError(
                f"Batch handler {spec.name!r} returned {len(outcomes)} outcomes for "
                f"{len(lanes)} events."
            )
            outcomes = [wrong] * len(lanes)
        done = [
            delivery
            for taken, outcome in zip(lanes, outcomes, strict=True)
            if outcome is None
            for delivery in taken
        ]
        if done:
            refused = await self._books.finish(done, None)
            if refused is not None:
                outcomes = [refused if outcome is None else outcome for outcome in outcomes]
        failed = {
            index: outcome
            for index, outcome in enumerate(outcomes)
            if outcome is not None and not isinstance(outcome, ConnectionPausedError)
        }
        kept = await self.fail(spec, [(lanes[index], error) for index, error in failed.items()])
        open_still = dict(zip(failed, kept, strict=True))
        pause = next((one for one in outcomes if isinstance(one, ConnectionPausedError)), None)
        if pause is not None:
            # Last, because from then on the dispatcher may be given them again.
            paused = [
                delivery
                for taken, outcome in zip(lanes, outcomes, strict=True)
                if isinstance(outcome, ConnectionPausedError)
                for delivery in taken
            ]
            await self._books.put_off(paused, pause)
        return [open_still.get(index, []) for index in range(len(lanes))]

    async def run_list(self, spec: HandlerSpec, taken: list[Delivery]) -> list[Delivery]:
        """
        Serve gathered deliveries of one tenant with one call; return those that stay open.

        A list that fails for good is done again one by one, so that a bad event takes no other
        along.
        """
        context = ListContext(self.new_context(taken[0]).unit, self._clock, self.services)
        token = current.set(context)
        try:
            await cast(ListHandler, spec.call)([one.event for one in taken])
            error: BaseException | None = None
        except (Exception, RunCancelled) as raised:
            error = raised
        finally:
            current.reset(token)
        if error is None:
            error = await self._books.finish(taken, context.unit)
        if error is None:
            return []
        if isinstance(error, ConnectionPausedError):
            await self._books.put_off(taken, error)
            return []
        tries = max(one.attempt for one in taken) + 1
        if len(taken) > 1 and not spec.retry.allows(error, tries):
            return [one for alone in taken for one in await self.run_list(spec, [alone])]
        kept = await self.fail(spec, [([one], error) for one in taken])
        return [one for lane in kept for one in lane]

    async def park(self, delivery: Delivery, error: BaseException) -> None:
        """Make the delivery a dead letter."""
        await self._books.record([FailedRuns([delivery], error, dead=True, due_at=delivery.due_at)])

    def stop(self, delivery_ids: Sequence[int]) -> None:
        """Let runs of this process know that they were asked to stop."""
        for one in delivery_ids:
            self._stopping.add(one)
            if one in self._going:
                self._going[one].cancelling = True

    async def look_for_stops(self) -> None:
        """Find the runs that were asked to stop, and forget those that are over."""
        known = set(self._stopping)
        found = await self._store.read(asked_to_stop)
        self._stopping -= known.difference(found)  # not those found by a later look meanwhile
        self.stop(found)

    async def watch_stops(self) -> None:
        """Look for runs that another process asked to stop, for ever."""
        while True:
            await self._clock.sleep(_LOOK_EVERY_S if self._store.is_shared else _LOOK_ALONE_S)
            await self._patience.insist(self.look_for_stops)

    def _journal(self, delivery: Delivery) -> Journal:
        nothing = delivery.fresh or delivery.blank
        delivery.blank = False  # from now on there may be something
        return Journal(delivery.id, self._store, self._clock, fresh=nothing, bounds=self._bounds)

    def new_context(self, delivery: Delivery, journal: Journal | None = None) -> RunContext:
        """Return the context of a pass; what earlier passes committed is not written again."""
        committed = [] if journal is None or not journal.entries else journal.committed()
        kind = partial(ReplayedUnit, committed) if committed else UnitOfWork
        return RunContext(
            delivery=delivery,
            unit=unit_of_run(kind, delivery, store=self._store, log=self._log, clock=self._clock),
            store=self._store,
            clock=self._clock,
            journal=journal or self._journal(delivery),
            services=self.services,
        )

    async def _suspend(self, taken: list[Delivery], context: RunContext) -> BaseException | None:
        suspension, now = context.suspension, to_micros(self._clock.now())
        assert suspension is not None  # noqa: S101 - the caller looked
        elders = [one.id for one in taken[:-1]]

        def work(tx: Tx) -> None:
            suspension.apply(tx, now, elders)
            tx.after_commit(self._log.on_scheduled)

        taken[-1].outcome = "suspended"
        try:
            await self._store.write(work)
        except Exception as error:
            return error
        return None

    async def end_cancelled(
        self, taken: Sequence[Delivery], undone: Sequence[str] = ()
    ) -> list[Delivery]:
        """Close runs that were cancelled and have nothing left to undo."""
        now, ids = to_micros(self._clock.now()), [one.id for one in taken]

        def work(tx: Tx) -> None:
            if end_cancelled(tx, ids, now, undone):
                tx.after_commit(self._log.on_scheduled)

        await self._store.write(work)
        for one in taken:
            one.outcome = "cancelled"
            self._stopping.discard(one.id)
        return []

    async def fail(
        self, spec: HandlerSpec, failed: list[tuple[list[Delivery], BaseException]]
    ) -> list[list[Delivery]]:
        """Keep the books of lanes that failed in one call; return what stays open of each."""
        waits: dict[tuple[str, int], float] = {}
        failures = [self.judge(spec, taken, error, waits) for taken, error in failed]
        if failures:
            await self._books.record(failures)
        return [[] if failure.dead else failure.taken for failure in failures]

    def judge(
        self,
        spec: HandlerSpec,
        taken: list[Delivery],
        error: BaseException,
        waits: dict[tuple[str, int], float],
    ) -> FailedRuns:
        """Count a try and decide whether there is another."""
        # The latest delivery counts the tries of a coalesced run; its elders share its fate.
        delivery = taken[-1]
        if is_refusal(error):
            dead = False  # the database refuses everybody: no fault of this event
        else:
            delivery.attempt += 1
            dead = not spec.retry.allows(error, delivery.attempt, self._failing_s(delivery))
        wait_s = 0.0
        if not dead:
            # What failed together for one reason is tried again together: with a wait of its
            # own each, a batch would fall apart into as many calls as it has records.
            alike = (str(error), delivery.attempt)
            if alike not in waits:
                waits[alike] = spec.retry.wait_s(error, delivery.attempt, self._rng)
            wait_s = waits[alike]
        due_at = to_micros(self._clock.now()) + int(wait_s * 1_000_000)
        for one in taken:
            one.due_at = due_at
            one.fresh = False
        report = log.error if dead else log.warning
        report(
            "handler_failed",
            handler=spec.name,
            event_type=delivery.event.type,
            key=delivery.event.key,
            attempt=delivery.attempt,
            error=describe(error)["message"],
            next="dead letter" if dead else f"retry in {wait_s:.1f} s",
        )
        return FailedRuns(taken, error, dead=dead, due_at=due_at)

    def _failing_s(self, delivery: Delivery) -> float:
        """Return for how long its tries have been failing."""
        if delivery.attempt <= 1 or not delivery.history:
            return 0.0
        now = to_micros(self._clock.now())
        return float(now - delivery.history[-1].get("since", now)) / 1_000_000


def _can_suspend(spec: HandlerSpec) -> bool:
    # A run that may be merged with a later one, or be skipped, would not come back whole.
    singleton = spec.flow.singleton
    skips = singleton is not None and singleton.mode == "skip"
    return not spec.coalesce and spec.flow.debounce is None and not skips


def _has_state(context: RunContext) -> bool:
    return context.journal.phase is not None or context.cancelling
