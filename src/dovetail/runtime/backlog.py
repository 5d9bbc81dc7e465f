"""What waits, handler by handler: read from the store, so that any process can look."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.core import json
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import deliveries


class Backlog(msgspec.Struct, kw_only=True):
    """
    The deliveries of one handler that are not over.

    `retrying` are those of `open` that have failed before; `scheduled` sleep, wait or were sent
    with a delay; `oldest_at` is since when the oldest open one waits (microseconds).
    """

    handler: str
    open: int = 0
    retrying: int = 0
    scheduled: int = 0
    dead: int = 0
    oldest_at: int | None = None

    def lag_s(self, now: int) -> float:
        """Return the age of the oldest open delivery, in seconds; 0 when there is none."""
        return 0.0 if self.oldest_at is None else max(now - self.oldest_at, 0) / 1_000_000


_OPEN = (
    sa.select(
        deliveries.c.handler,
        sa.func.count().label("number"),
        sa.func.sum(sa.case((deliveries.c.attempt > 0, 1), else_=0)).label("retrying"),
        sa.func.min(deliveries.c.id).label("oldest"),
    )
    .where(sa.text("status = 0"))  # literals, so that the partial indexes serve them
    .group_by(deliveries.c.handler)
)


def read_backlogs(tx: Tx) -> list[Backlog]:
    """Return the backlog of every handler that has one, by name; its cost is their size."""
    found: dict[str, Backlog] = {}
    oldest: list[int] = []
    for row in tx.rows(_OPEN):
        found[row.handler] = Backlog(
            handler=row.handler, open=row.number, retrying=int(row.retrying or 0)
        )
        oldest.append(row.oldest)
    for row in tx.rows(sa.select(deliveries).where(deliveries.c.id.in_(oldest))):
        found[row.handler].oldest_at = waits_since(row)
    for status, name in ((2, "scheduled"), (3, "dead")):
        for handler, number in _count(tx, status).items():
            setattr(found.setdefault(handler, Backlog(handler=handler)), name, number)
    return [found[name] for name in sorted(found)]


def waits_since(row: sa.Row[Any]) -> int:
    """Return since when a delivery may run: its first failure, or when it was first due."""
    failures = json.decode(row.history) if row.history else []
    return int(failures[0]["at"]) if failures else int(row.due_at)


def _count(tx: Tx, status: int) -> dict[str, int]:
    rows = tx.rows(
        sa.select(deliveries.c.handler, sa.func.count().label("number"))
        .where(sa.text(f"status = {status}"))
        .group_by(deliveries.c.handler)
    )
    counted: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        counted[row.handler] += int(row.number)
    return counted
