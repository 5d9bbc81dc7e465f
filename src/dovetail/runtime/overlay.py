"""What a unit of work has written so far, laid over what is committed: what its reads see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dovetail.errors import UsageError
from dovetail.model.entity import Entity
from dovetail.runtime.query import Query, build_query
from dovetail.runtime.query_match import matches, sort_records
from dovetail.runtime.query_sql import count_statement, select_statement
from dovetail.runtime.record_document import StoredRecord, entity_name, read_record
from dovetail.runtime.record_table import load_records, load_row
from dovetail.runtime.store.port import Store, Tx

RecordKey = tuple[str, str, str]

_MAX_KNOWN = 10_000
"""Rows kept from reads, so that an update need not read again what was just read."""


@dataclass(slots=True)
class Touched:
    """
    A record that this unit has written.

    `base_version` is the version that it had before; None when this unit created it. `row` is
    what it will be; None when deleted.
    """

    base_version: int | None
    row: StoredRecord | None


class Overlay:
    """
    Rows as one unit of work sees them. *scope* is a tenant, or None for every tenant.

    Args:
        store: Where the committed rows are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._touched: dict[RecordKey, Touched] = {}
        self._known: dict[RecordKey, StoredRecord] = {}

    def touched(self, key: RecordKey) -> Touched | None:
        """Return what this unit has made of a record, or None when it has not touched it."""
        return self._touched.get(key)

    def put(self, key: RecordKey, base_version: int | None, row: StoredRecord | None) -> None:
        """Lay a row over the committed one; None when it is deleted."""
        self._touched[key] = Touched(base_version, row)

    def known(self, key: RecordKey, version: int) -> StoredRecord | None:
        """Return the row that was read earlier, if it was at this version and is untouched."""
        row = self._known.get(key)
        return (
            row if row is not None and row.version == version and key not in self._touched else None
        )

    async def row(self, entity: type[Entity], scope: str | None, id: str) -> StoredRecord | None:
        """
        Return the row of a record, or None.

        Raises:
            UsageError: Several tenants have a record of that id.
        """
        if scope is None:
            return await self._row_of_any_tenant(entity, id)
        touched = self._touched.get((entity_name(entity), scope, id))
        if touched is not None:
            return touched.row
        row = await self._store.read(lambda tx: load_row(tx, entity, scope, id))
        if row is not None:
            self._remember(row)
        return row

    async def select(self, query: Query, scope: str | None) -> list[StoredRecord]:
        """Return the rows that fit, in the order of the query and up to its limit."""
        touched = self._touched_of(query.entity, scope)
        limit = None if query.limit is None else query.limit + len(touched)
        wider = replace(query, limit=limit)
        stored = await self._store.read(
            lambda tx: [
                StoredRecord._make(row) for row in tx.rows(select_statement(tx, wider, scope))
            ]
        )
        for row in stored:
            self._remember(row)
        if not touched:
            return stored
        rows = {row.key: row for row in stored if row.key not in touched}
        records = [read_record(query.entity, row) for row in rows.values()]
        for key, one in touched.items():
            if one.row is None:
                continue
            record = read_record(query.entity, one.row)
            if matches(query, record):
                records.append(record)
                rows[key] = one.row
        name = entity_name(query.entity)
        return [rows[name, one.business_id, one.id] for one in sort_records(query, records)]

    async def count(self, query: Query, scope: str | None) -> int:
        """Return how many rows fit."""
        touched = self._touched_of(query.entity, scope)
        stored, replaced = await self._store.read(
            lambda tx: _count(tx, query, scope, list(touched))
        )
        fresh = [read_record(query.entity, one.row) for one in touched.values() if one.row]
        return stored - replaced + sum(matches(query, record) for record in fresh)

    async def _row_of_any_tenant(self, entity: type[Entity], id: str) -> StoredRecord | None:
        rows = await self.select(build_query(entity, {"id": id}, limit=2), None)
        if len(rows) > 1:
            raise UsageError(
                f"Several tenants have a {entity.__name__} {id}. Use db.find_one with id and "
                "business_id."
            )
        return rows[0] if rows else None

    def _touched_of(self, entity: type[Entity], scope: str | None) -> dict[RecordKey, Touched]:
        name = entity_name(entity)
        return {
            key: one
            for key, one in self._touched.items()
            if key[0] == name and scope in (None, key[1])
        }

    def _remember(self, row: StoredRecord) -> None:
        if len(self._known) < _MAX_KNOWN:
            self._known[row.key] = row


def _count(
    tx: Tx, query: Query, scope: str | None, touched: Sequence[RecordKey]
) -> tuple[int, int]:
    """Return how many stored records fit, and how many of them this unit has touched."""
    stored = int(tx.scalar(count_statement(tx, query, scope)))
    by_tenant: dict[str, list[str]] = {}
    for _, business_id, id in touched:
        by_tenant.setdefault(business_id, []).append(id)
    replaced = sum(
        matches(query, record)
        for business_id, ids in by_tenant.items()
        for record in load_records(tx, query.entity, business_id, ids).values()
    )
    return stored, replaced
