"""
Suspension: a run gives up its place until a moment comes or an event arrives.

In one transaction: what it has written and sent so far, the journal entry, what it waits for, and
the delivery, scheduled for when it goes on. Nothing of the run stays in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa

from dovetail.core import json
from dovetail.errors import RunSuspended
from dovetail.runtime.journal import insert_entries
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import (
    CANCELLING,
    DONE,
    GOING,
    SCHEDULED,
    deliveries,
    run_states,
)
from dovetail.runtime.unit import UnitOfWork

FOR_EVER = 253_402_300_799_000_000
"""The due moment of a run that waits without a time-out: the end of the year 9999."""


class Awaited(Protocol):
    """What a run waits for: an event, or its children."""

    @property
    def outlasts_stop(self) -> bool:
        """Whether a run that is asked to stop goes on waiting for it."""
        ...

    def register(self, tx: Tx, delivery_id: int, now: int) -> bool:
        """Wait from now on; return whether there is no need, so that the run goes on at once."""
        ...


@dataclass(slots=True)
class Suspension:
    """
    What has to be done for a run to be suspended.

    Args:
        delivery_id: The run.
        due_at: When it goes on; `FOR_EVER` when only an event wakes it.
        unit: What it has written and sent so far.
        entries: New rows of the journal.
        wait: What it waits for.
    """

    delivery_id: int
    due_at: int
    unit: UnitOfWork
    entries: list[dict[str, Any]] = field(default_factory=list)
    wait: Awaited | None = None

    def signal(self) -> RunSuspended:
        """Return what unwinds the handler."""
        return RunSuspended(f"run {self.delivery_id} is suspended")

    def apply(self, tx: Tx, now: int, elders: list[int]) -> None:
        """
        Suspend the run within *tx*.

        Raises:
            VersionConflictError: A record was changed or deleted by someone else meanwhile.
        """
        if self.unit.dirty:
            self.unit.apply(tx)
        insert_entries(tx, self.entries)
        due_at = self.due_at
        if self.wait is not None and self.wait.register(tx, self.delivery_id, now):
            due_at = now
        phase = tx.scalar(
            sa.select(run_states.c.phase).where(run_states.c.delivery_id == self.delivery_id)
        )
        if phase is None:
            tx.run(
                sa.insert(run_states).values(
                    delivery_id=self.delivery_id, phase=GOING, updated_at=now
                )
            )
        elif phase == CANCELLING and not (self.wait is not None and self.wait.outlasts_stop):
            due_at = now  # asked for while it ran
        tx.run(
            sa.update(deliveries)
            .where(deliveries.c.id == self.delivery_id)
            .values(status=SCHEDULED, due_at=due_at, attempt=0, error=None)
        )
        if elders:
            tx.run(
                sa.update(deliveries)
                .where(deliveries.c.id.in_(elders))
                .values(status=DONE, finished_at=now)
            )


def plain_moment(micros: int) -> bytes:
    """Return what is recorded of a suspension that ends at a moment."""
    return json.encode({"until": None if micros >= FOR_EVER else micros})
