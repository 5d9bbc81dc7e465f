"""The events that the engine sends to itself: what has to be looked at, and where."""

from __future__ import annotations

from datetime import datetime, timedelta

from dovetail.runtime.log import EventDraft
from dovetail.sync.plan import SpokePlan

PUSH = "sync.push"
"""A spoke may not hold what our record holds."""
CHANGED = "platform.changed"
"""A platform's record is to be read again."""
REFER = "sync.refer"
"""A reference of a platform's record can be told now: its target is linked."""

SOURCE = "sync:"
_LOOK_AGAIN = timedelta(seconds=1)
"""Long enough for a platform whose times are whole seconds to tell two changes apart."""


def push_key(connection_id: str, entity: str, internal_id: str) -> str:
    """Return the key of pushes of one record to one connection."""
    return f"{connection_id}:{entity}:{internal_id}"


def push_draft(key: str, business_id: str) -> EventDraft:
    """Return the event that asks for a push."""
    connection_id, entity, internal_id = key.rsplit(":", 2)
    return EventDraft(
        type=PUSH,
        key=key,
        payload={"connection_id": connection_id, "entity": entity, "internal_id": internal_id},
        business_id=business_id,
        source=SOURCE + "engine",
    )


def changed_draft(
    spoke: SpokePlan, external_id: str, business_id: str, now: datetime | None = None
) -> EventDraft:
    """Return the event that reads a record again; with *now*, once the clock has moved on."""
    return EventDraft(
        type=CHANGED,
        key=f"{spoke.connection_id}:{spoke.resource}:{external_id}",
        payload={
            "connection_id": spoke.connection_id,
            "resource": spoke.resource,
            "record_id": external_id,
            "kind": "updated",
        },
        business_id=business_id,
        source=SOURCE + "engine",
        due_at=now + _LOOK_AGAIN if now is not None else None,
    )


def refer_draft(connection_id: str, entity: str, external_id: str, business_id: str) -> EventDraft:
    """Return the event that settles the references that a platform's record waits for."""
    return EventDraft(
        type=REFER,
        key=f"{connection_id}:{entity}:{external_id}",
        payload={"connection_id": connection_id, "entity": entity, "external_id": external_id},
        business_id=business_id,
        source=SOURCE + "engine",
    )
