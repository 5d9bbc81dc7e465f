"""Reading the log: events, what became of each, and how much is waiting."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.core import json
from dovetail.model.event import Event
from dovetail.runtime.handler import matches
from dovetail.runtime.log import event_of
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import STATUS_NAMES, deliveries, events, steps


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of an event, for people."""

    id: int
    handler: str
    status: str
    attempt: int
    due_at: int
    finished_at: int | None
    error: dict[str, Any] | None
    steps: list[str]


def list_events(
    tx: Tx,
    *,
    after_seq: int = 0,
    pattern: str = "*",
    business_id: str | None = None,
    limit: int = 50,
    newest: bool = False,
) -> list[Event]:
    """
    Return events after *after_seq*, oldest first.

    With *newest*, the last *limit* of them. *pattern* is an event pattern as handlers use it.
    """
    query = sa.select(events).where(events.c.seq > after_seq)
    if business_id is not None:
        query = query.where(events.c.business_id == business_id)
    if "*" not in pattern:
        query = query.where(events.c.type == pattern)
    elif not pattern.startswith("*"):
        prefix = pattern.split("*", 1)[0]
        query = query.where(events.c.type.startswith(prefix, autoescape=True))
    query = query.order_by(events.c.seq.desc() if newest else events.c.seq)
    found: list[Event] = []
    for row in tx.rows(query.limit(limit if pattern == "*" or "*" not in pattern else limit * 20)):
        if matches(pattern, row.type):
            found.append(event_of(row))
        if len(found) == limit:
            break
    return found[::-1] if newest else found


def find_event(tx: Tx, event_id: str) -> Event | None:
    """Return the event of an id, or of its sequence number."""
    condition = events.c.seq == int(event_id) if event_id.isdigit() else events.c.id == event_id
    row = tx.first(sa.select(events).where(condition))
    return event_of(row) if row is not None else None


def deliveries_of(tx: Tx, event: Event) -> list[DeliveryView]:
    """Return what became of the event, handler by handler."""
    rows = tx.rows(
        sa.select(deliveries).where(deliveries.c.event_seq == event.seq).order_by(deliveries.c.id)
    )
    return [
        DeliveryView(
            id=row.id,
            handler=row.handler,
            status=STATUS_NAMES[row.status],
            attempt=row.attempt,
            due_at=row.due_at,
            finished_at=row.finished_at,
            error=json.decode(row.error) if row.error else None,
            steps=[
                step.name
                for step in tx.rows(
                    sa.select(steps.c.name)
                    .where(steps.c.delivery_id == row.id)
                    .order_by(steps.c.recorded_at)
                )
            ],
        )
        for row in rows
    ]


def count_open(tx: Tx, handlers: list[str] | None = None) -> int:
    """Return how many deliveries are open: waiting to run, running, or waiting for a retry."""
    query = sa.select(sa.func.count()).select_from(deliveries).where(sa.text("status = 0"))
    if handlers is not None:
        query = query.where(deliveries.c.handler.in_(handlers))
    return int(tx.scalar(query))


def count_by_status(tx: Tx) -> dict[str, int]:
    """Return status -> number of deliveries."""
    rows = tx.rows(
        sa.select(deliveries.c.status, sa.func.count().label("count")).group_by(deliveries.c.status)
    )
    return {STATUS_NAMES[row.status]: int(row._mapping["count"]) for row in rows}
