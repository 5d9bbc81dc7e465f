"""Dead letters: deliveries that were given up, kept whole, and how to bring them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.core import json
from dovetail.model.event import Event
from dovetail.runtime.child_replay import forget_children, reopen_children
from dovetail.runtime.log import event_of
from dovetail.runtime.saga import forget_journals, undone_among
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import DEAD, DISCARDED, SCHEDULED, deliveries, events


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was given up: what it was, why, and every failure that led there."""

    id: int
    handler: str
    attempt: int
    died_at: int
    error: dict[str, Any]
    history: list[dict[str, Any]]
    event: Event


class DeadGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one handler whose errors are alike, and the newest of them."""

    handler: str
    likeness: str
    count: int
    newest: int


def list_dead(
    tx: Tx,
    *,
    handler: str | None = None,
    business_id: str | None = None,
    error: str | None = None,
    since: int | None = None,
    limit: int = 100,
) -> list[DeadLetter]:
    """
    Return dead letters, newest first.

    Args:
        tx: The transaction.
        handler: Only of this handler.
        business_id: Only of this tenant.
        error: Only those whose likeness (``code: message`` without what differs) has this in it.
        since: Only those that died then or later, in microseconds.
        limit: How many.
    """
    query = (
        sa.select(
            deliveries.c.id.label("delivery_id"),
            deliveries.c.handler,
            deliveries.c.attempt,
            deliveries.c.finished_at,
            deliveries.c.error,
            deliveries.c.history,
            *events.c,
        )
        .join(events, events.c.seq == deliveries.c.event_seq)
        .where(sa.text("deliveries.status = 3"))
        .order_by(deliveries.c.id.desc())
        .limit(limit)
    )
    if handler is not None:
        query = query.where(deliveries.c.handler == handler)
    if business_id is not None:
        query = query.where(deliveries.c.business_id == business_id)
    if error is not None:
        query = query.where(deliveries.c.likeness.contains(error, autoescape=True))
    if since is not None:
        query = query.where(deliveries.c.finished_at >= since)
    return [
        DeadLetter(
            id=row.delivery_id,
            handler=row.handler,
            attempt=row.attempt,
            died_at=row.finished_at,
            error=json.decode(row.error) if row.error else {},
            history=json.decode(row.history) if row.history else [],
            event=event_of(row),
        )
        for row in tx.rows(query)
    ]


def group_dead(
    tx: Tx, *, handler: str | None = None, business_id: str | None = None
) -> list[DeadGroup]:
    """Return dead letters by handler and likeness, the largest group first."""
    count = sa.func.count().label("alike")
    query = (
        sa.select(
            deliveries.c.handler,
            deliveries.c.likeness,
            count,
            sa.func.max(deliveries.c.id).label("newest"),
        )
        .where(sa.text("deliveries.status = 3"))
        .group_by(deliveries.c.handler, deliveries.c.likeness)
        .order_by(count.desc(), deliveries.c.handler)
    )
    if handler is not None:
        query = query.where(deliveries.c.handler == handler)
    if business_id is not None:
        query = query.where(deliveries.c.business_id == business_id)
    return [
        DeadGroup(
            handler=row.handler, likeness=row.likeness or "", count=row.alike, newest=row.newest
        )
        for row in tx.rows(query)
    ]


def replay_dead(tx: Tx, ids: Sequence[int], now: int, *, from_start: bool = False) -> list[int]:
    """
    Make dead letters open again and return the ids that were.

    Recorded steps stay recorded, so a replay goes on after the last one; with *from_start* they
    are forgotten and every step runs anew, as it is for runs that were undone. The child runs that
    a run has died of are replayed with it.
    """
    # SCHEDULED, not OPEN: the running process may be another one, and its clock loop finds this.
    replayed: list[int] = []
    ids = sorted(ids)  # a run before what it has started
    for first in range(0, len(ids), 500):
        rows = tx.rows(
            sa.select(deliveries.c.id, deliveries.c.error).where(
                deliveries.c.id.in_(ids[first : first + 500]),
                deliveries.c.status == DEAD,
            )
        )
        found = [row.id for row in rows]
        anew = found if from_start else undone_among(tx, found)
        forget_journals(tx, anew)
        gone = forget_children(tx, anew, now)
        found = [one for one in found if one not in gone]
        going_on = {row.id: row.error for row in rows if row.id not in {*anew, *gone}}
        children = reopen_children(tx, going_on, now)
        tx.run(
            sa.update(deliveries)
            .where(deliveries.c.id.in_(found))
            .values(status=SCHEDULED, due_at=now, attempt=0, starts=0, finished_at=None)
        )
        replayed += found + replay_dead(tx, children, now)
    return replayed


def discard_dead(tx: Tx, ids: Sequence[int]) -> int:
    """Give dead letters up for good; they stay in the history. Returns how many."""
    return tx.run(
        sa.update(deliveries)
        .where(deliveries.c.id.in_(list(ids)), deliveries.c.status == DEAD)
        .values(status=DISCARDED)
    )
