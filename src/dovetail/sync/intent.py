"""Creates in flight: written before the create is sent, removed with its outcome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.core import json
from dovetail.runtime.store.port import Tx, upsert
from dovetail.sync.schema import sync_intents

SENT = "sent"
"""A create was sent and its outcome is not recorded: look it up before sending it again."""
REFUSED = "refused"
"""The platform would not take these values; they are not sent again as they are."""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """One create; `fields` are our fields with canonical values."""

    internal_id: str
    state: str
    intent_at: int
    fields: dict[str, Any]


def load_intents(
    tx: Tx, connection_id: str, entity: str, internal_ids: Iterable[str] | None = None
) -> dict[str, Intent]:
    """Return our id -> its intent on a connection; all of them when no ids are given."""
    query = _LOAD_ALL
    params: dict[str, Any] = {"of_connection": connection_id, "of_entity": entity}
    if internal_ids is not None:
        query, params = _LOAD, params | {"of_ids": list(internal_ids)}
    return {
        row.internal_id: Intent(
            internal_id=row.internal_id,
            state=row.state,
            intent_at=row.intent_at,
            fields=json.decode(row.fields),
        )
        for row in tx.rows(query, params)
    }


def save_intents(tx: Tx, connection_id: str, entity: str, intents: Iterable[Intent]) -> None:
    """Record intents, in place of older ones."""
    tx.run(
        _PUT(tx),
        [
            {
                "connection_id": connection_id,
                "entity": entity,
                "internal_id": intent.internal_id,
                "state": intent.state,
                "intent_at": intent.intent_at,
                "fields": json.encode(intent.fields),
            }
            for intent in intents
        ],
    )


def remove_intents(tx: Tx, connection_id: str, entity: str, internal_ids: Iterable[str]) -> None:
    """Forget intents whose outcome is recorded."""
    tx.run(
        _REMOVE,
        [
            {"of_connection": connection_id, "of_entity": entity, "of_id": internal_id}
            for internal_id in internal_ids
        ],
    )


_PUT = upsert(sync_intents, "state", "intent_at", "fields")
_LOAD_ALL = sa.select(sync_intents).where(
    sync_intents.c.connection_id == sa.bindparam("of_connection"),
    sync_intents.c.entity == sa.bindparam("of_entity"),
)
_LOAD = _LOAD_ALL.where(sync_intents.c.internal_id.in_(sa.bindparam("of_ids", expanding=True)))
_REMOVE = sa.delete(sync_intents).where(
    sync_intents.c.connection_id == sa.bindparam("of_connection"),
    sync_intents.c.entity == sa.bindparam("of_entity"),
    sync_intents.c.internal_id == sa.bindparam("of_id"),
)
