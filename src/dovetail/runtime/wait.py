"""
Waits: runs that go on when an event arrives.

    a run waits    -> one row per event type, beside its journal entry, as it is suspended
    an event comes -> the rows of its type and tenant that fit are taken away, the entry gets the
                      event, the delivery is due at once: all in the transaction of the event
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.model.event import Event
from dovetail.runtime.condition import fits, scalar_conditions
from dovetail.runtime.journal import Place
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import SCHEDULED, deliveries, events, steps, waits


@dataclass(frozen=True, slots=True)
class Wait:
    """
    What a run waits for.

    Args:
        place: Its entry in the journal.
        business_id: The tenant whose events count.
        event_types: Any of these.
        conditions: What the payload's fields must be.
        since: Events after this number in the log count, too; None when only later ones do.
    """

    place: Place
    business_id: str
    event_types: tuple[str, ...]
    conditions: dict[str, Any]
    since: int | None = None
    outlasts_stop = False

    def register(self, tx: Tx, delivery_id: int, now: int) -> bool:
        """Wait from now on; return whether an earlier event fits, so that there is no need."""
        if "event" in _recorded(tx, delivery_id, self.place):
            return True  # it came while a pass was looking
        earlier = self._earlier(tx)
        if earlier is not None:
            _record(tx, delivery_id, self.place, {"event": earlier}, now)
            return True
        match = min(_digests(scalar_conditions(self.conditions)), default="")
        tx.run(sa.delete(waits).where(waits.c.delivery_id == delivery_id))
        tx.run(
            sa.insert(waits),
            [
                {
                    "delivery_id": delivery_id,
                    "event_type": event_type,
                    "business_id": self.business_id,
                    "match": match,
                    "conditions": json.encode(self.conditions),
                    **self.place._asdict(),
                }
                for event_type in self.event_types
            ],
        )
        return False

    def _earlier(self, tx: Tx) -> int | None:
        if self.since is None:
            return None
        rows = tx.rows(
            sa.select(events.c.seq, events.c.payload)
            .where(
                events.c.seq > self.since,
                events.c.type.in_(self.event_types),
                events.c.business_id == self.business_id,
            )
            .order_by(events.c.seq)
        )
        return next(
            (row.seq for row in rows if fits(self.conditions, json.decode(row.payload))), None
        )


def wake_waiting(tx: Tx, arrived: Sequence[Event], now: int) -> bool:
    """Wake the runs that wait for these events, within their transaction; say if there were any."""
    if not tx.has_rows(waits):
        return False
    awaited = {
        row.event_type
        for row in tx.rows(
            sa.select(waits.c.event_type)
            .where(waits.c.event_type.in_({event.type for event in arrived}))
            .distinct()
        )
    }
    woken = [_wake(tx, event, now) for event in arrived if event.type in awaited]
    return any(woken)


def forget_waits(tx: Tx, delivery_ids: Sequence[int]) -> None:
    """Wait no more."""
    tx.run(sa.delete(waits).where(waits.c.delivery_id.in_(list(delivery_ids))))


def _wake(tx: Tx, event: Event, now: int) -> int:
    candidates = tx.rows(
        sa.select(waits).where(
            waits.c.event_type == event.type,
            waits.c.business_id == event.business_id,
            waits.c.match.in_(["", *_digests(_scalars(event.payload))]),
        )
    )
    found = [row for row in candidates if fits(json.decode(row.conditions), event.payload)]
    for row in found:
        place = Place(row.kind, row.name, row.key, row.repeat)
        _record(tx, row.delivery_id, place, {"event": event.seq}, now)
    ids = [row.delivery_id for row in found]
    if ids:
        forget_waits(tx, ids)
        tx.run(
            sa.update(deliveries)
            .where(deliveries.c.id.in_(ids), deliveries.c.status == SCHEDULED)
            .values(due_at=now)
        )
    return len(ids)


def record_timeout(tx: Tx, delivery_id: int, place: Place, now: int) -> dict[str, Any]:
    """Note that the wait is over, unless an event was faster; return what is recorded."""
    found = _recorded(tx, delivery_id, place)
    if "event" in found:
        return found
    forget_waits(tx, [delivery_id])
    outcome = {"timed_out": True}
    _record(tx, delivery_id, place, outcome, now)
    return outcome


def _entry(delivery_id: int, place: Place) -> sa.ColumnElement[bool]:
    return sa.and_(
        steps.c.delivery_id == delivery_id,
        steps.c.kind == place.kind,
        steps.c.name == place.name,
        steps.c.key == place.key,
        steps.c.repeat == place.repeat,
    )


def _recorded(tx: Tx, delivery_id: int, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = json.decode(
        tx.scalar(sa.select(steps.c.result).where(_entry(delivery_id, place)))
    )
    return found


def _record(tx: Tx, delivery_id: int, place: Place, outcome: dict[str, Any], now: int) -> None:
    tx.run(
        sa.update(steps)
        .where(_entry(delivery_id, place))
        .values(result=json.encode(outcome), recorded_at=now)
    )


def _scalars(payload: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in payload.items():
        if isinstance(value, dict):
            found.update(_scalars(value, f"{prefix}{name}."))
        elif isinstance(value, str | int | bool):
            found[prefix + name] = value
    return found


def _digests(fields: dict[str, Any]) -> list[str]:
    return [
        hashlib.blake2b(json.encode([name, value]), digest_size=9).hexdigest()
        for name, value in fields.items()
    ]
