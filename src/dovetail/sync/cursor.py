"""How far each spoke has been read, and whether it may be given what it lacks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dovetail.connector_sdk.record import Cursor
from dovetail.core import json
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import records
from dovetail.sync.schema import sync_cursors, sync_links

_LOAD = sa.select(sync_cursors).where(
    sync_cursors.c.connection_id == sa.bindparam("of_connection"),
    sync_cursors.c.entity == sa.bindparam("of_entity"),
)


def load_cursor(tx: Tx, connection_id: str, entity: str) -> Any:
    """Return the row of a spoke, or None when it was never read."""
    return tx.first(_LOAD, {"of_connection": connection_id, "of_entity": entity})


def is_open(tx: Tx, connection_id: str, entity: str) -> bool:
    """
    Return whether records that a spoke lacks may be made there.

    Not before all that it holds has been read once: until then most of what seems to be missing
    will be found there.
    """
    row = load_cursor(tx, connection_id, entity)
    return row is not None and row.swept_to is not None


def save_cursor(
    tx: Tx, connection_id: str, entity: str, now: int, *, cursor: Cursor | None, total: int | None
) -> None:
    """Record the place up to which pages have been absorbed."""
    values: dict[str, Any] = {"cursor": json.encode(cursor), "updated_at": now}
    if total is not None:
        values["total"] = total
    _put(tx, connection_id, entity, values)


def save_sweep(
    tx: Tx, connection_id: str, entity: str, now: int, *, swept_to: str, done: bool
) -> None:
    """Record how far the sweep for missing records has come; *done*: the spoke is caught up."""
    values: dict[str, Any] = {"swept_to": swept_to, "updated_at": now}
    if done:
        values["caught_up_at"] = now
    _put(tx, connection_id, entity, values)


def save_check(
    tx: Tx, connection_id: str, entity: str, now: int, *, checked_to: str | None
) -> None:
    """Record up to which link records were asked for by id; None: up to the last one."""
    values: dict[str, Any] = {"checked_to": checked_to, "updated_at": now}
    if checked_to is None:
        values["checked_at"] = now
    _put(tx, connection_id, entity, values)


def missing_after(
    tx: Tx, business_id: str, connection_id: str, entity: str, after: str, limit: int
) -> list[tuple[str, bool]]:
    """Return our ids after one, in order, each with whether the connection lacks it."""
    linked = (
        sa.exists()
        .where(
            sync_links.c.internal_id == records.c.id,
            sync_links.c.connection_id == connection_id,
            sync_links.c.entity == entity,
        )
        .correlate(records)
        .label("linked")
    )
    rows = tx.rows(
        sa.select(records.c.id, linked)
        .where(
            records.c.entity == entity,
            records.c.business_id == business_id,
            records.c.id > after,
        )
        .order_by(records.c.id)
        .limit(limit)
    )
    return [(row.id, not row.linked) for row in rows]


def _put(tx: Tx, connection_id: str, entity: str, values: dict[str, Any]) -> None:
    insert = tx.insert(sync_cursors).values(connection_id=connection_id, entity=entity, **values)
    tx.run(insert.on_conflict_do_update(index_elements=["connection_id", "entity"], set_=values))
