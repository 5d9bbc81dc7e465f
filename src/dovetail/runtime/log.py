"""
The event log: events and their deliveries are appended in the transaction that caused them.

    draft -> events row (the truth) -> one deliveries row per listening handler (the outbox)
          -> after the commit the bus is told; a delivery the bus did not take is swept up later
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import Clock, from_micros, to_micros
from dovetail.core.ids import Ids
from dovetail.core.telemetry import Tally
from dovetail.model.event import Event
from dovetail.runtime.bus.port import Bus
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.handler import Subscriptions
from dovetail.runtime.store.port import RowStatement, Tx
from dovetail.runtime.store.schema import OPEN, SCHEDULED, deliveries, events
from dovetail.runtime.wait import wake_waiting


class EventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """
    An event to be appended.

    Give `id` (see `derive_id`) to append at most once: a draft whose id is already in the log is
    dropped. `due_at` delays delivery. `key` defaults to the payload's ``id`` or the event's own.
    """

    type: str
    payload: dict[str, Any]
    business_id: str
    source: str
    key: str | None = None
    id: str | None = None
    occurred_at: datetime | None = None
    due_at: datetime | None = None
    raw: bytes | None = None
    raw_type: str | None = None
    caused_by: str | None = None


class EventLog:
    """Appends events and makes their deliveries."""

    def __init__(self, subscriptions: Subscriptions, clock: Clock, ids: Ids, bus: Bus) -> None:
        self.subscriptions = subscriptions
        self.clock = clock
        self.on_scheduled: Callable[[], None] = _nothing
        """Called after a commit that scheduled a delivery for later."""
        self.tally = Tally()
        """Where events and runs are counted."""
        self._ids = ids
        self._bus = bus

    def append(self, tx: Tx, drafts: Sequence[EventDraft]) -> list[str]:
        """Append in order, within *tx*; return the ids of the events, known ones included."""
        now = self.clock.now()
        ids = [draft.id or self._ids.new() for draft in drafts]
        known = tx.known(events.c.id, [draft.id for draft in drafts if draft.id is not None])
        fresh: list[tuple[EventDraft, str]] = []
        for draft, event_id in zip(drafts, ids, strict=True):
            if event_id not in known:
                known.add(event_id)
                fresh.append((draft, event_id))
        if not fresh:
            return ids
        seq = tx.allocate("events", len(fresh))
        appended = [
            (_event(draft, event_id, seq + offset, now), draft.due_at)
            for offset, (draft, event_id) in enumerate(fresh)
        ]
        tx.run_rows(_INSERT_EVENT, [event_row(event) for event, _ in appended])
        tx.after_commit(lambda: self._count(appended))
        arrived = [event for event, due_at in appended if due_at is None or due_at <= now]
        if wake_waiting(tx, arrived, to_micros(now)):
            tx.after_commit(self.on_scheduled)
        self._deliver(tx, appended, now)
        return ids

    def append_each(self, tx: Tx, lists: list[list[EventDraft]]) -> list[list[str]]:
        """Append the lists of several callers as one; a batched operation of the store."""
        ids = iter(self.append(tx, [draft for drafts in lists for draft in drafts]))
        return [list(islice(ids, len(drafts))) for drafts in lists]

    def call(self, tx: Tx, calls: Sequence[tuple[EventDraft, str]]) -> list[int]:
        """Append events that are for one handler each, and nobody else; return the deliveries."""
        now = self.clock.now()
        seq = tx.allocate("events", len(calls))
        made = [
            (_event(draft, draft.id or self._ids.new(), seq + offset, now), handler, None)
            for offset, (draft, handler) in enumerate(calls)
        ]
        tx.run_rows(_INSERT_EVENT, [event_row(event) for event, _, _ in made])
        first = self._make(tx, made, now)
        return list(range(first, first + len(made)))

    def redeliver(self, tx: Tx, stored: Sequence[Event], handlers: Sequence[str]) -> int:
        """Make new deliveries of events that are already in the log; return how many."""
        now = self.clock.now()
        made = [
            (event, name)
            for event in stored
            for name in handlers or [spec.name for spec in self.subscriptions.listening(event)]
        ]
        self._make(tx, [(event, name, None) for event, name in made], now)
        return len(made)

    def _count(self, appended: Sequence[tuple[Event, datetime | None]]) -> None:
        tally = self.tally
        for event, _ in appended:
            tally.events[event.type, tally.tenant(event.business_id)] += 1

    def _deliver(
        self, tx: Tx, appended: Sequence[tuple[Event, datetime | None]], now: datetime
    ) -> None:
        wanted = [
            (event, spec.name, due_at)
            for event, due_at in appended
            for spec in self.subscriptions.listening(event)
        ]
        self._make(tx, wanted, now)

    def _make(
        self, tx: Tx, wanted: Sequence[tuple[Event, str, datetime | None]], now: datetime
    ) -> int:
        if not wanted:
            return 0
        first = tx.allocate("deliveries", len(wanted))
        rows: list[dict[str, Any]] = []
        ready: list[Delivery] = []
        for offset, (event, handler, due_at) in enumerate(wanted):
            waits = due_at is not None and due_at > now
            due = to_micros(due_at if due_at is not None and waits else now)
            rows.append(
                {
                    "id": first + offset,
                    "event_seq": event.seq,
                    "handler": handler,
                    "business_id": event.business_id,
                    "status": SCHEDULED if waits else OPEN,
                    "attempt": 0,
                    "due_at": due,
                }
            )
            if not waits:
                ready.append(
                    Delivery(
                        id=first + offset, handler=handler, event=event, due_at=due, fresh=True
                    )
                )
        tx.run_rows(_INSERT_DELIVERY, rows)
        last = first + len(wanted) - 1
        tx.after_commit(lambda: self._bus.offer(first, last, ready))
        if len(ready) < len(rows):
            tx.after_commit(self.on_scheduled)
        return first


def _nothing() -> None: ...


def _event(draft: EventDraft, event_id: str, seq: int, now: datetime) -> Event:
    key = draft.key or str(draft.payload.get("id") or event_id)
    return Event(
        id=event_id,
        type=draft.type,
        key=key,
        business_id=draft.business_id,
        source=draft.source,
        payload=draft.payload,
        occurred_at=draft.occurred_at or now,
        raw=draft.raw,
        raw_type=draft.raw_type,
        caused_by=draft.caused_by,
        seq=seq,
    )


def event_row(event: Event) -> dict[str, Any]:
    """Return the events row of an event."""
    return {
        "seq": event.seq,
        "id": event.id,
        "type": event.type,
        "key": event.key,
        "business_id": event.business_id,
        "source": event.source,
        "payload": json.encode(event.payload),
        "occurred_at": to_micros(event.occurred_at),
        "raw": event.raw,
        "raw_type": event.raw_type,
        "caused_by": event.caused_by,
    }


def event_of(row: sa.Row[Any]) -> Event:
    """Return the event of a row that holds at least the columns of the events table."""
    return Event(
        id=row.id,
        type=row.type,
        key=row.key,
        business_id=row.business_id,
        source=row.source,
        payload=json.decode(row.payload),
        occurred_at=from_micros(row.occurred_at),
        raw=row.raw,
        raw_type=row.raw_type,
        caused_by=row.caused_by,
        seq=row.seq,
    )


_INSERT_EVENT = RowStatement(
    sa.insert(events),
    "seq",
    "id",
    "type",
    "key",
    "business_id",
    "source",
    "payload",
    "occurred_at",
    "raw",
    "raw_type",
    "caused_by",
)
_INSERT_DELIVERY = RowStatement(
    sa.insert(deliveries),
    "id",
    "event_seq",
    "handler",
    "business_id",
    "status",
    "attempt",
    "due_at",
)
