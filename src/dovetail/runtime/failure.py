"""What is kept of runs that failed."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.errors import describe
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.likeness import likeness_of
from dovetail.runtime.store.schema import DEAD, OPEN, deliveries

_HISTORY = 10


@dataclass(frozen=True, slots=True)
class FailedRuns:
    """The deliveries of one lane that failed together, and what comes next for them."""

    taken: list[Delivery]
    error: BaseException
    dead: bool
    due_at: int

    def rows(self, now: int) -> list[dict[str, Any]]:
        """Return what the store keeps of it, by delivery."""
        facts = describe(self.error)
        record = facts | {"traceback": trace_of(self.error)} if self.dead else facts
        latest = self.taken[-1]
        since = latest.history[-1].get("since", now) if latest.attempt > 1 else now
        history = [*latest.history, {"at": now, "since": since, **facts}][-_HISTORY:]
        for delivery in self.taken:
            # All of a coalesced run, as in the store: the eldest is the one that is waited for.
            delivery.attempt, delivery.history = latest.attempt, history
        kept = {
            "status": DEAD if self.dead else OPEN,
            "attempt": latest.attempt,
            "due_at": self.due_at,
            "finished_at": now if self.dead else None,
            "error": json.encode(record),
            "history": json.encode(history),
            "likeness": likeness_of(facts) if self.dead else None,
        }
        return [{"delivery": delivery.id, **kept} for delivery in self.taken]


def trace_of(error: BaseException) -> str:
    """Return the end of the traceback, as it is kept with a dead letter."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join(lines)[-4000:]


_KEPT = ("status", "attempt", "due_at", "finished_at", "error", "history", "likeness")
FAILED = (
    sa.update(deliveries)
    .where(deliveries.c.id == sa.bindparam("delivery"))
    .values({name: sa.bindparam(name) for name in _KEPT})
)
"""Keeps rows of `FailedRuns.rows`."""
