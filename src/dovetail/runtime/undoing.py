"""
Taking runs back: those that failed for good with steps to undo, and those that were cancelled.

    begin   notes durably that the run is only undone from now on
    go_on   undoes step by step, tried again like the handler; then the run is dead or cancelled
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from dovetail.core.clock import Clock, to_micros
from dovetail.errors import ReplayMismatchError, StoreError, describe
from dovetail.runtime.books import Books
from dovetail.runtime.context import RunContext
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.failure import FailedRuns, trace_of
from dovetail.runtime.handler import HandlerSpec
from dovetail.runtime.journal import Journal
from dovetail.runtime.log import EventLog
from dovetail.runtime.run_state import set_phase
from dovetail.runtime.saga import Functions, GivenUpError, Saga, begin_compensating
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import COMPENSATED


class Passes(Protocol):
    """What undoing needs of the runner: passes of a handler."""

    services: Any

    def new_context(self, delivery: Delivery, journal: Journal | None = None) -> RunContext:
        """Return the context of a pass."""
        ...

    async def call(self, spec: HandlerSpec, context: RunContext) -> BaseException | None:
        """Call the handler; return what it raised."""
        ...

    async def fail(
        self, spec: HandlerSpec, failed: list[tuple[list[Delivery], BaseException]]
    ) -> list[list[Delivery]]:
        """Keep the books of lanes that failed; return what stays open of each."""
        ...

    def judge(
        self,
        spec: HandlerSpec,
        taken: list[Delivery],
        error: BaseException,
        waits: dict[tuple[str, int], float],
    ) -> FailedRuns:
        """Count a try and decide whether there is another."""
        ...

    async def end_cancelled(
        self, taken: Sequence[Delivery], undone: Sequence[str] = ()
    ) -> list[Delivery]:
        """Close runs that were cancelled and have nothing left to undo."""
        ...


class Undoing:
    """
    Takes runs back.

    Args:
        runner: Makes passes.
        books: Where failures are written down.
        store: Where journals are.
        log: Where events that undo functions send go.
        clock: Time.
    """

    def __init__(
        self, runner: Passes, books: Books, store: Store, log: EventLog, clock: Clock
    ) -> None:
        self._runner = runner
        self._books = books
        self._store = store
        self._log = log
        self._clock = clock

    async def is_due(self, spec: HandlerSpec, context: RunContext, error: BaseException) -> bool:
        """Return whether a failure is final and leaves something to be undone."""
        if isinstance(error, ReplayMismatchError):
            return False  # the code has changed; what was done may be just right
        if spec.retry.allows(error, context.attempt + 1):
            return False
        try:
            await context.journal.load()
        except StoreError:
            return False
        return bool(context.journal.to_undo())

    async def begin(
        self,
        spec: HandlerSpec,
        context: RunContext,
        error: BaseException | None,
        *,
        cancelled: bool,
    ) -> list[Delivery]:
        """Begin to take a run back; what it wrote commits only if it came to a regular end."""
        delivery, now = context.run, to_micros(self._clock.now())
        record = {} if error is None else describe(error) | {"traceback": trace_of(error)}
        unit = context.unit if error is None and context.unit.dirty else None

        def begin(tx: Tx) -> None:
            begin_compensating(tx, delivery.id, record, now, cancelled=cancelled)
            if unit is not None:
                unit.apply(tx)

        try:
            await self._store.write(begin)
        except Exception as refused:
            return (await self._runner.fail(spec, [([delivery], refused)]))[0]
        delivery.attempt, delivery.fresh = 0, False
        context.journal.error = {"error": record, "cancelled": cancelled}
        return await self.go_on(spec, delivery, context.journal, context.undo)

    async def go_on(
        self, spec: HandlerSpec, delivery: Delivery, journal: Journal, functions: Functions
    ) -> list[Delivery]:
        """Undo what is left; return the delivery if it stays open."""
        saga = self.saga(delivery, journal, functions)
        try:
            if saga.unresolved():
                saga = self.saga(delivery, journal, await self._collect(spec, delivery, journal))
            await saga.run()
            outcome = journal.error or {}
            error = GivenUpError(outcome.get("error", {}) | {"undone": journal.undone()})
            now, cancelled = to_micros(self._clock.now()), outcome.get("cancelled", False)
            if cancelled:
                return await self._runner.end_cancelled([delivery], journal.undone())
            await self._store.write(lambda tx: set_phase(tx, [delivery.id], COMPENSATED, now))
        except Exception as refused:
            failure = self._runner.judge(spec, [delivery], refused, {})
            if failure.dead:
                failure = replace(failure, error=saga.incomplete(refused))
            await self._books.record([failure])
            return [] if failure.dead else [delivery]
        delivery.attempt += 1
        await self._books.record([FailedRuns([delivery], error, dead=True, due_at=delivery.due_at)])
        return []

    async def _collect(self, spec: HandlerSpec, delivery: Delivery, journal: Journal) -> Functions:
        """Run the handler over its recorded steps only, to meet undo functions without a name."""
        journal.rewind()
        context = self._runner.new_context(delivery, journal)
        context.cancelling = True
        await self._runner.call(spec, context)
        return context.undo

    def saga(self, delivery: Delivery, journal: Journal, functions: Functions) -> Saga:
        """Return what undoes the steps of a run."""
        return Saga(
            store=self._store,
            log=self._log,
            clock=self._clock,
            services=self._runner.services,
            delivery=delivery,
            journal=journal,
            functions=functions,
        )
