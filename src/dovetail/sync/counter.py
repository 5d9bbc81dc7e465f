"""What the sync has done, per spoke: numbers kept in the transactions that they count."""

from __future__ import annotations

from collections import Counter

import sqlalchemy as sa

from dovetail.runtime.store.port import Tx, once_per_database
from dovetail.sync.schema import sync_counters

NAMES = (
    "seen",
    "created",
    "linked",
    "updated",
    "echoes",
    "stale",
    "gone",
    "written",
    "made",
    "removed",
    "conflicts",
    "ambiguous",
    "errors",
    "quarantined",
)
"""
What is counted: records seen; ours created, linked, updated by it; echoes and stale sightings
ignored; records gone; records written, made and removed there; conflicts; ambiguous; errors.
"""

Counts = Counter[tuple[str, str]]
"""(connection id, name) -> how many."""


def add_counts(tx: Tx, entity: str, counts: Counts) -> None:
    """Add to the stored numbers."""
    tx.run(
        _add(tx),
        [
            {"connection_id": connection_id, "entity": entity, "name": name, "value": value}
            for (connection_id, name), value in counts.items()
            if value
        ],
    )


@once_per_database
def _add(tx: Tx) -> sa.Executable:
    fresh = tx.insert(sync_counters)
    return fresh.on_conflict_do_update(
        index_elements=["connection_id", "entity", "name"],
        set_={"value": sync_counters.c.value + fresh.excluded.value},
    )


def read_counts(tx: Tx) -> dict[tuple[str, str], dict[str, int]]:
    """Return (connection id, entity) -> name -> number."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in tx.rows(sa.select(sync_counters)):
        found.setdefault((row.connection_id, row.entity), {})[row.name] = row.value
    return found
