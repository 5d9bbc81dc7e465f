"""
Looking at runs: which there are, and the whole story of one, as plain data for people.

    list_runs   newest first, a page at a time
    show_run    one run: its event, its tries, its journal, what it waits for, what it started
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.errors import UsageError
from dovetail.model.event import Event
from dovetail.runtime.delivery import RUN_PREFIX
from dovetail.runtime.journal import Place, place_of_undo
from dovetail.runtime.log import event_of
from dovetail.runtime.run_view import (
    AttemptView,
    ChildView,
    JournalView,
    ParentView,
    RunSummary,
    RunView,
    WaitView,
    timeline,
)
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import (
    CANCELLING,
    CHILD,
    CHILD_UNDO,
    COMPENSATING,
    KIND_NAMES,
    SCHEDULED,
    STATUS_NAMES,
    STEP,
    UNDO,
    child_runs,
    deliveries,
    events,
    run_states,
    steps,
    waits,
)
from dovetail.runtime.suspension import FOR_EVER

RUN_STATUSES = (
    "open",
    "done",
    "delayed",
    "sleeping",
    "waiting",
    "cancelling",
    "compensating",
    "dead",
    "discarded",
    "cancelled",
)
"""What `RunSummary.status` can be; `list_runs` takes any of them."""


def list_runs(
    tx: Tx,
    *,
    status: str | None = None,
    handler: str | None = None,
    business_id: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[RunSummary]:
    """
    Return runs, newest first.

    Args:
        tx: A transaction.
        status: One of `RUN_STATUSES`.
        handler: Runs of this handler.
        business_id: Runs of this tenant.
        limit: At most so many.
        before: Older than the run of this id: the last one of the page before.

    Raises:
        UsageError: There is no such status.
    """
    query = _summaries().order_by(deliveries.c.id.desc()).limit(limit)
    if status is not None:
        query = query.where(_status_condition(status))
    if handler is not None:
        query = query.where(deliveries.c.handler == handler)
    if business_id is not None:
        query = query.where(deliveries.c.business_id == business_id)
    if before is not None:
        query = query.where(deliveries.c.id < before)
    return [_summary(row) for row in tx.rows(query)]


def show_run(tx: Tx, delivery_id: int) -> RunView | None:
    """Return the whole story of a run, or None when there is no run of that id."""
    row = tx.first(_summaries().where(deliveries.c.id == delivery_id))
    if row is None:
        return None
    stored = tx.first(sa.select(events).where(events.c.seq == row.event_seq))
    if stored is None:
        return None
    event = event_of(stored)
    summary = _summary(row)
    journal = _journal(tx, delivery_id)
    attempts = [
        AttemptView(at=one["at"], code=one.get("code", ""), message=one.get("message", ""))
        for one in (json.decode(row.history) if row.history else [])
    ]
    children = _children(tx, event, delivery_id, summary.handler)
    parent = _parent(tx, delivery_id)
    return RunView(
        summary=summary,
        event=event,
        reason=row.reason,
        error=json.decode(row.error) if row.error else None,
        attempts=attempts,
        journal=journal,
        waits=_waits(tx, delivery_id, row),
        children=children,
        timeline=timeline(summary, attempts, journal, parent),
        parent=parent,
    )


def _summaries() -> sa.Select[Any]:
    counted = (
        sa.select(sa.func.count())
        .select_from(steps)
        .where(steps.c.delivery_id == deliveries.c.id, steps.c.kind == STEP)
        .scalar_subquery()
    )
    awaited = (
        sa.select(sa.func.min(waits.c.event_type))
        .where(waits.c.delivery_id == deliveries.c.id)
        .scalar_subquery()
    )
    child = (
        sa.select(RUN_PREFIX + sa.func.min(child_runs.c.name))
        .where(child_runs.c.parent_id == deliveries.c.id, child_runs.c.is_open == 1)
        .scalar_subquery()
    )
    return (
        sa.select(
            deliveries,
            events.c.id.label("event_id"),
            events.c.type.label("event_type"),
            events.c.key.label("event_key"),
            events.c.occurred_at,
            run_states.c.phase,
            run_states.c.reason,
            counted.label("step_count"),
            sa.func.coalesce(awaited, child).label("waits_for"),
        )
        .join(events, events.c.seq == deliveries.c.event_seq)
        .outerjoin(run_states, run_states.c.delivery_id == deliveries.c.id)
    )


def _status_condition(status: str) -> sa.ColumnElement[bool]:
    waiting = sa.or_(
        sa.exists().where(waits.c.delivery_id == deliveries.c.id),
        sa.exists().where(child_runs.c.parent_id == deliveries.c.id, child_runs.c.is_open == 1),
    )
    suspended = run_states.c.delivery_id.is_not(None)
    scheduled = deliveries.c.status == SCHEDULED
    phase = run_states.c.phase
    active = deliveries.c.status.in_((0, SCHEDULED))
    busy = phase.in_((CANCELLING, COMPENSATING))
    calm = sa.or_(phase.is_(None), sa.not_(busy))
    conditions: dict[str, sa.ColumnElement[bool]] = {
        "delayed": sa.and_(scheduled, sa.not_(suspended)),
        "sleeping": sa.and_(scheduled, suspended, calm, sa.not_(waiting)),
        "waiting": sa.and_(scheduled, waiting, calm),
        "cancelling": sa.and_(active, phase == CANCELLING),
        "compensating": sa.and_(active, phase == COMPENSATING),
        "open": sa.and_(deliveries.c.status == 0, calm),
    }
    if status in conditions:
        return conditions[status]
    if status not in RUN_STATUSES:
        raise UsageError(
            f"{status!r} is no status of a run; it is one of {', '.join(RUN_STATUSES)}."
        )
    return deliveries.c.status == STATUS_NAMES.index(status)


def _summary(row: sa.Row[Any]) -> RunSummary:
    status = _status(row)
    waits_for_ever = status == "waiting" and row.due_at >= FOR_EVER
    return RunSummary(
        id=row.id,
        handler=row.handler,
        business_id=row.business_id,
        status=status,
        attempt=row.attempt,
        started_at=row.occurred_at,
        due_at=None if row.finished_at is not None or waits_for_ever else row.due_at,
        finished_at=row.finished_at,
        event_id=row.event_id,
        event_type=row.event_type,
        event_key=row.event_key,
        steps=row.step_count,
        waits_for=row.waits_for,
    )


def _status(row: sa.Row[Any]) -> str:
    if row.status not in (0, SCHEDULED):
        return STATUS_NAMES[row.status]
    if row.phase == CANCELLING:
        return "cancelling"
    if row.phase == COMPENSATING:
        return "compensating"
    if row.status == 0:
        return "open"
    if row.waits_for is not None:
        return "waiting"
    return "delayed" if row.phase is None else "sleeping"


def _journal(tx: Tx, delivery_id: int) -> list[JournalView]:
    rows = tx.rows(
        sa.select(steps)
        .where(steps.c.delivery_id == delivery_id)
        .order_by(steps.c.position, steps.c.recorded_at)
    )
    undone = {
        Place(row.kind, row.name, row.key, row.repeat): row.recorded_at
        for row in rows
        if row.kind in (UNDO, CHILD_UNDO)
    }
    return [
        JournalView(
            kind=KIND_NAMES[row.kind],
            name=row.name,
            key=row.key,
            repeat=row.repeat,
            position=row.position,
            started_at=row.started_at,
            recorded_at=row.recorded_at,
            result=json.decode(row.result),
            undo=row.undo,
            undone_at=undone.get(place_of_undo(Place(row.kind, row.name, row.key, row.repeat)))
            if row.kind in (STEP, CHILD)
            else None,
        )
        for row in rows
    ]


def _waits(tx: Tx, delivery_id: int, run: sa.Row[Any]) -> list[WaitView]:
    rows = tx.rows(sa.select(waits).where(waits.c.delivery_id == delivery_id))
    return [
        WaitView(
            event_type=row.event_type,
            where=json.decode(row.conditions),
            until=None if run.due_at >= FOR_EVER else run.due_at,
        )
        for row in rows
    ]


def _parent(tx: Tx, delivery_id: int) -> ParentView | None:
    row = tx.first(
        sa.select(child_runs, deliveries.c.handler)
        .outerjoin(deliveries, deliveries.c.id == child_runs.c.parent_id)
        .where(child_runs.c.delivery_id == delivery_id)
    )
    if row is None:
        return None
    return ParentView(
        run_id=row.parent_id, handler=row.handler, key=row.key, is_waiting=bool(row.is_open)
    )


def _children(tx: Tx, event: Event, delivery_id: int, handler: str) -> list[ChildView]:
    # What the run sent names the event that it handled and the handler; both together are the run.
    query = (
        sa.select(
            events.c.id.label("event_id"),
            events.c.type.label("event_type"),
            deliveries.c.id.label("run_id"),
            deliveries.c.handler,
            deliveries.c.status,
        )
        .outerjoin(deliveries, deliveries.c.event_seq == events.c.seq)
        .where(
            events.c.caused_by == event.id,
            events.c.source == f"handler:{handler}",
            events.c.seq > event.seq,
            sa.or_(deliveries.c.id.is_(None), deliveries.c.id != delivery_id),
        )
        .order_by(events.c.seq, deliveries.c.id)
        .limit(200)
    )
    return [
        ChildView(
            event_id=row.event_id,
            event_type=row.event_type,
            run_id=row.run_id,
            handler=row.handler,
            status=STATUS_NAMES[row.status] if row.status is not None else None,
        )
        for row in tx.rows(query)
    ]


__all__ = [
    "RUN_STATUSES",
    "AttemptView",
    "ChildView",
    "JournalView",
    "ParentView",
    "RunSummary",
    "RunView",
    "WaitView",
    "list_runs",
    "show_run",
]
