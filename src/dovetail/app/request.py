"""
What another process asks of the one that runs: an event, handled where the plans are.

The command line writes the event into the database; the running process, or the next one, acts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dovetail.model.event import Event
from dovetail.model.integration import SyncConflict
from dovetail.runtime.handler import HandlerSpec
from dovetail.runtime.log import EventDraft
from dovetail.runtime.record_table import load_records
from dovetail.runtime.retry import Retry
from dovetail.runtime.store.port import Store
from dovetail.sync.conflict import PENDING
from dovetail.sync.engine import SyncEngine

RESOLVE = "sync.resolve"
"""The event that decides a conflict, and the name of its handler."""


def resolve_draft(
    conflict: SyncConflict, take: str, value: Any, *, new_id: Callable[[], str]
) -> EventDraft:
    """Return the event that ends a conflict as a person says (see `SyncEngine`)."""
    return EventDraft(
        id=new_id(),
        type=RESOLVE,
        key=conflict.id,
        business_id=conflict.business_id or "",
        source="cli",
        payload={"conflict_id": conflict.id, "take": take, "value": value},
    )


def request_handlers(sync: SyncEngine, store: Store) -> list[HandlerSpec]:
    """Return the handlers of what other processes ask for."""

    async def resolve(event: Event) -> None:
        asked = event.payload
        found = await store.read(
            lambda tx: load_records(tx, SyncConflict, event.business_id, [asked["conflict_id"]])
        )
        if any(conflict.status != PENDING for conflict in found.values()):
            return  # decided already: by the try that a crash cut off, or by someone else
        await sync.resolve_conflict(
            event.business_id, asked["conflict_id"], take=asked["take"], value=asked["value"]
        )

    return [HandlerSpec(name=RESOLVE, patterns=(RESOLVE,), call=resolve, retry=Retry(attempts=5))]
