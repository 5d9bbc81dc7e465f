"""
Looking for deletes that nobody told of: by webhook alone, for a while only, or not at all.

Every linked record is asked for by id, a slice with each poll, once a day and after a long stop.
What is not there any more is gone: that answer is the evidence. Where most of what is asked for
is not there, the credentials see less than before, and nothing is taken for deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from dovetail.connector_sdk.base import Records
from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Capability, Resource
from dovetail.core.clock import to_micros
from dovetail.runtime.store.port import Store, Tx
from dovetail.sync.cursor import load_cursor, save_check
from dovetail.sync.fetch import absorb_all, read_again
from dovetail.sync.ledger import Desk, record_trouble
from dovetail.sync.link import ACTIVE
from dovetail.sync.plan import SpokeRoute
from dovetail.sync.schema import sync_links

log = structlog.get_logger("dovetail.sync")

EVERY = timedelta(days=1)
LONG_STOP = timedelta(hours=1)
"""Without a poll for so long, webhooks may have been lost as well."""
_SLICE = 50
_FEW = 10


def needs_sweep(resource: Resource) -> bool:
    """Return whether there are deletes that reading changes does not tell of."""
    can = resource.capabilities
    tells_all = Capability.TOMBSTONES in can and resource.tombstones_for_s is None
    return not tells_all and Capability.READ_MANY in can


def is_due(row: Any, route: SpokeRoute, now: int) -> bool:
    """
    Return whether links are to be looked at with this poll.

    Args:
        row: The spoke's cursor as it was before the poll.
        route: The spoke.
        now: In microseconds.
    """
    if row is None or row.caught_up_at is None:
        return False
    if row.checked_to is not None:
        return True
    longest = max(LONG_STOP, timedelta(seconds=3 * route.entity.poll_interval_s))
    stood_still: bool = now - row.updated_at > longest / timedelta(microseconds=1)
    since: int = row.checked_at or row.caught_up_at
    return stood_still or now - since >= EVERY / timedelta(microseconds=1)


class Sweep:
    """Asks for linked records by id, some at a time; where it stopped is kept in the store."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self._store = store
        self._desk = desk

    async def go_on(self, route: SpokeRoute, records: Records, resource: Resource) -> None:
        """Look at the next slice; the last one ends the pass."""
        spoke, name = route.at, route.entity.name
        row = await self._store.read(lambda tx: load_cursor(tx, spoke.connection_id, name))
        after: str | None = (row.checked_to if row is not None else None) or ""
        for _ in range(_SLICE):
            after = await self._look(route, records, resource, after or "")
            now = to_micros(self._desk.clock.now())
            await self._store.write(
                partial(_save, connection_id=spoke.connection_id, entity=name, now=now, to=after)
            )
            if after is None:
                return

    async def _look(
        self, route: SpokeRoute, records: Records, resource: Resource, after: str
    ) -> str | None:
        """Ask for the links behind *after*; return the last one, None at the end."""
        ids = await self._store.read(lambda tx: _linked(tx, route, after, resource.read_batch))
        if not ids:
            return None
        read_at = self._desk.clock.now()
        found = await read_again(records, resource, route.at, ids, read_at)
        ended = [one for one in found if one.deleted or one.merged_into is not None]
        gone = sum(one.deleted for one in ended)
        if gone > max(_FEW, len(ids) // 2):
            await self._doubt(route, gone, len(ids))
            return None
        # Platforms change references without telling so by the record's time: those are looked at
        # as well, now that they are here.
        told = found if route.at.references else _whole(found, ended)
        await absorb_all(self._store, self._desk, route, told, read_at)
        return ids[-1] if len(ids) == resource.read_batch else None

    async def _doubt(self, route: SpokeRoute, gone: int, asked: int) -> None:
        message = (
            f"{gone} of {asked} linked {route.at.platform} records cannot be read. That looks like "
            "a permission that was taken away, so none of them is taken for deleted. Check what "
            "the connection may read; records that were really deleted can be unlinked here."
        )
        log.error("too_many_gone", connection=route.at.connection_id, gone=gone, asked=asked)

        await self._store.write(
            lambda tx: record_trouble(tx, self._desk, route, message, "too-many-gone")
        )


def _save(tx: Tx, *, connection_id: str, entity: str, now: int, to: str | None) -> None:
    save_check(tx, connection_id, entity, now, checked_to=to)


def _whole(found: Sequence[RemoteRecord], ended: Sequence[RemoteRecord]) -> list[RemoteRecord]:
    """Return the records that ended, with those that they became."""
    survivors = {one.merged_into for one in ended if one.merged_into}
    return [*ended, *(one for one in found if one.id in survivors and one not in ended)]


def _linked(tx: Tx, route: SpokeRoute, after: str, limit: int) -> list[str]:
    table = sync_links.c
    rows = tx.rows(
        sa.select(table.external_id)
        .where(
            table.connection_id == route.at.connection_id,
            table.entity == route.entity.name,
            table.external_id > after,
            table.state == ACTIVE,
        )
        .order_by(table.external_id)
        .limit(limit)
    )
    return [row.external_id for row in rows]
