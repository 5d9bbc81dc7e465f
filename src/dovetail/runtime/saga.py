"""
Compensation: a run that failed for good, or was cancelled, takes back what it had done.

The undo functions of its recorded steps run in exactly the reverse order of the recording. Each is
recorded like a step, together with what it writes with ``db`` and sends, so that none runs again
once it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.errors import CompensationError, DovetailError, UsageError
from dovetail.runtime.context import RunContext, current, unit_of_run
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.journal import Entry, Journal, Place, insert_entries, place_of_undo
from dovetail.runtime.log import EventLog
from dovetail.runtime.recorded_error import record_error
from dovetail.runtime.run_state import begin_phase
from dovetail.runtime.step_input import call_function, read_for
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import (
    COMPENSATED,
    COMPENSATING,
    FAILURE,
    deliveries,
    run_states,
    steps,
    waits,
)
from dovetail.runtime.unit import UnitOfWork

Functions = Mapping[Place, tuple[Callable[..., Any], Callable[..., Any]]]
"""By the place of a step: its undo function, and its own."""


class Saga:
    """
    Undoes the recorded steps of one run.

    Args:
        store: Where the journal is kept.
        log: Where events that undo functions send go.
        clock: Time.
        services: What undo functions can reach through their context.
        delivery: The run.
        journal: Its entries, loaded.
        functions: The undo functions that a pass of the handler has met.
    """

    def __init__(
        self,
        *,
        store: Store,
        log: EventLog,
        clock: Clock,
        services: Any,
        delivery: Delivery,
        journal: Journal,
        functions: Functions,
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._services = services
        self._delivery = delivery
        self._journal = journal
        self._functions = functions

    def unresolved(self) -> list[Place]:
        """Return the steps whose undo function can only be found by running the handler."""
        return [
            place
            for place, entry in self._journal.to_undo()
            if place not in self._functions and _resolve(entry.undo or "") is None
        ]

    async def run(self, among: Sequence[Place] | None = None) -> None:
        """
        Undo every recorded step that can be undone and was not, or those *among* these.

        Raises:
            CompensationError: An undo function cannot be found.
        """
        for place, entry in self._journal.to_undo():
            if among is None or place in among:
                await self._undo(place, entry)

    def incomplete(self, error: BaseException) -> CompensationError:
        """Return the error that says what was not undone, and how to go on."""
        left = [(str(place), entry.undo) for place, entry in self._journal.to_undo()]
        names = ", ".join(name for name, _ in left)
        first, function = left[0] if left else ("", "")
        original = (self._journal.error or {}).get("error", {})
        run = self._delivery.id
        return CompensationError(
            f"Not undone: {names}. The undo of {first!r} ({function}) failed: {error} "
            f"The run was being undone because: {original.get('message', 'it was cancelled')} "
            f"Put the cause right and run `dovetail dead replay {run}`, which goes on undoing; or "
            "undo by hand and discard the run.",
            not_undone=[name for name, _ in left],
            undone=self._journal.undone(),
            error=original,
        )

    async def _undo(self, place: Place, entry: Entry) -> None:
        undo, call = self._functions.get(place, (None, None))
        undo = undo or _resolve(entry.undo or "")
        if undo is None:
            raise CompensationError(
                f"The function {entry.undo} that undoes {str(place)!r} is not there any more; "
                "bring it back, or undo the step by hand.",
                step=str(place),
            )
        context = self._context(place)
        started_at = to_micros(self._clock.now())
        token = current.set(context)
        try:
            await call_function(undo, (read_for(undo, entry.result, call),), {})
        finally:
            current.reset(token)
        undone = place_of_undo(place)
        row = self._journal.row(undone, b"null", started_at=started_at)
        unit = context.unit

        def done(tx: Tx) -> None:
            insert_entries(tx, [row])
            if unit.dirty:
                unit.apply(tx)

        try:
            await self._store.write(done)
        except BaseException:
            self._journal.entries.pop(undone)
            raise

    def _context(self, place: Place) -> RunContext:
        context = RunContext(
            delivery=self._delivery,
            unit=unit_of_run(
                UnitOfWork,
                self._delivery,
                store=self._store,
                log=self._log,
                clock=self._clock,
                part=f" undo {place}",  # names a child run otherwise than a step of that name
            ),
            store=self._store,
            clock=self._clock,
            journal=self._journal,
            services=self._services,
        )
        context.can_suspend = False
        context.prefix = f"undo {place}: "
        return context


class GivenUpError(DovetailError):
    """The failure of a run that has been undone since; `record` is what was kept of it."""

    code = "given-up"

    def __init__(self, record: dict[str, Any]) -> None:
        super().__init__(str(record.get("message", "")))
        self._record = record

    def to_record(self) -> dict[str, Any]:
        """Return what was kept."""
        return self._record


def begin_compensating(
    tx: Tx, delivery_id: int, error: dict[str, Any], now: int, *, cancelled: bool
) -> None:
    """Note that from now on the run is only undone; its tries are counted anew."""
    kept = json.encode({"error": error, "cancelled": cancelled})
    begin_phase(tx, delivery_id, COMPENSATING, now, error=kept)
    tx.run(sa.update(deliveries).where(deliveries.c.id == delivery_id).values(attempt=0))


def undone_among(tx: Tx, delivery_ids: Sequence[int]) -> list[int]:
    """Return the runs that were undone whole: there is nothing left to go on with."""
    query = sa.select(run_states.c.delivery_id).where(
        run_states.c.delivery_id.in_(list(delivery_ids)), run_states.c.phase == COMPENSATED
    )
    return [row.delivery_id for row in tx.rows(query)]


def forget_journals(tx: Tx, delivery_ids: Sequence[int]) -> None:
    """Let runs begin anew."""
    for table in (steps, run_states, waits):
        tx.run(sa.delete(table).where(table.c.delivery_id.in_(list(delivery_ids))))


async def compensate(context: RunContext) -> None:
    """
    Undo the steps that this pass of a handler has met, for use in an ``except``.

    The errors that the pass has met are recorded first: another pass must come here again,
    although a step that failed might succeed by then.

    Raises:
        UsageError: Called from an undo function.
    """
    if context.saga is None:
        raise UsageError("step.compensate() cannot be used in an undo function.")
    now = to_micros(context.clock.now())
    rows = [
        context.journal.row(failed, record_error(error), started_at=now)
        for place, error in context.failures.items()
        if (failed := place._replace(kind=FAILURE)) not in context.journal.entries
    ]
    if rows:
        await context.store.write(lambda tx: insert_entries(tx, rows))
    await context.saga().run(list(context.undo))


def _resolve(reference: str) -> Callable[..., Any] | None:
    """Return the function of ``module:name``, if it can be reached by its name."""
    module, _, name = reference.partition(":")
    if "<" in name:
        return None
    try:
        found: Any = import_module(module)
    except (ImportError, ValueError):
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if callable(found) else None
