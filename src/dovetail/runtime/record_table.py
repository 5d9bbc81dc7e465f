"""
Entities in the ``records`` table: functions of a transaction.

One table holds every entity; the fields that are not columns are a JSON document.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from dovetail.core.clock import to_micros
from dovetail.errors import (
    RecordConflictError,
    RecordMissingError,
    UsageError,
    VersionConflictError,
)
from dovetail.model.entity import Entity
from dovetail.runtime.query import Where, build_query
from dovetail.runtime.query_sql import count_statement, select_statement
from dovetail.runtime.record_document import (
    StoredRecord,
    check_fields,
    check_value,
    encode_data,
    entity_name,
    is_same,
    plain_value,
    read_record,
    store_record,
)
from dovetail.runtime.record_field import SYSTEM, RecordField, find_field
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import records

E = TypeVar("E", bound=Entity)
Number = int | float | Decimal

_CHUNK = 500
_KEY = (
    records.c.entity == sa.bindparam("of_entity"),
    records.c.business_id == sa.bindparam("of_business"),
)
_ONE = records.c.id == sa.bindparam("of_id")

_LOAD = sa.select(records).where(*_KEY, records.c.id.in_(sa.bindparam("ids", expanding=True)))
_LOAD_ONE = sa.select(records).where(*_KEY, _ONE)
_LOAD_TO_CHANGE = sa.select(records).where(*_KEY, _ONE).with_for_update()
_KNOWN = sa.select(records.c.id).where(*_KEY, records.c.id.in_(sa.bindparam("ids", expanding=True)))
_INSERT = sa.insert(records)
_DELETE = sa.delete(records).where(*_KEY, _ONE)
_UPDATE = (
    sa.update(records)
    .where(*_KEY, _ONE)
    .values(
        version=sa.bindparam("new_version"),
        updated_at=sa.bindparam("now"),
        data=sa.bindparam("document"),
    )
)


def load_row(tx: Tx, entity: type[Entity], business_id: str, id: str) -> StoredRecord | None:
    """Return the row of a record, or None."""
    row = tx.first(_LOAD_ONE, _params(entity, business_id, id))
    return None if row is None else StoredRecord._make(row)


def load_records(tx: Tx, entity: type[E], business_id: str, ids: Iterable[str]) -> dict[str, E]:
    """Return the records of these ids that exist, by id."""
    wanted = list(dict.fromkeys(ids))
    found: dict[str, E] = {}
    for start in range(0, len(wanted), _CHUNK):
        params = _params(entity, business_id) | {"ids": wanted[start : start + _CHUNK]}
        for row in tx.rows(_LOAD, params):
            found[row.id] = read_record(entity, row)
    return found


def insert_record(tx: Tx, record: E, now: datetime) -> E:
    """
    Insert a record, with id and business_id set, and return it as it will be read.

    Raises:
        RecordConflictError: The tenant has a record of that id already.
        UsageError: A value cannot be kept.
    """
    return insert_records(tx, [record], now)[0]


def insert_records(tx: Tx, made: Sequence[E], now: datetime) -> list[E]:
    """As `insert_record` for many, in one statement; they may be of different entities."""
    rows = [new_row(record, now) for record in made]
    if len(rows) > 1:
        _refuse_known(tx, rows)
    try:
        tx.run(_INSERT, [row._asdict() for row in rows])
    except IntegrityError as error:
        raise _exists(rows[0]) from error
    return [read_record(type(record), row) for record, row in zip(made, rows, strict=True)]


def new_row(record: Entity, now: datetime) -> StoredRecord:
    """
    Return the first row of a record: version 1, created now unless it says when.

    Raises:
        UsageError: The id or the tenant is missing, or a value cannot be kept.
    """
    if not record.id or not record.business_id:
        missing = "business_id" if record.id else "id"
        raise UsageError(f"A {type(record).__name__} cannot be stored without {missing}.")
    return store_record(
        record, version=1, created_at=record.created_at or now, updated_at=record.updated_at or now
    )


def change_record(
    tx: Tx,
    entity: type[E],
    business_id: str,
    id: str,
    changes: Mapping[str, Any],
    *,
    now: datetime,
    increments: Mapping[str, Number] | None = None,
    expected_version: int | None = None,
) -> tuple[E, E] | None:
    """
    Change fields of a record; return it before and after, or None when nothing would change.

    ``custom`` is merged by key; other fields are replaced. *increments* add to what is stored
    (None counts as nothing).

    Raises:
        RecordMissingError: There is no such record.
        VersionConflictError: It is not at *expected_version* any more.
        UsageError: A field is unknown or a value does not fit.
    """
    row = _require_row(tx, entity, business_id, id, expected_version)
    before = read_record(entity, row)
    changed = changed_row(before, row, changes, increments or {}, now)
    if changed is None:
        return None
    params = _params(entity, business_id, id) | {
        "new_version": changed.version,
        "now": changed.updated_at,
        "document": changed.data,
    }
    tx.run(_UPDATE, params)
    return before, read_record(entity, changed)


def changed_row(
    before: Entity,
    row: Any,
    changes: Mapping[str, Any],
    increments: Mapping[str, Number],
    now: datetime,
) -> StoredRecord | None:
    """
    Return the next row of a record, or None when nothing would change.

    Raises:
        UsageError: A field is unknown or a value does not fit.
    """
    entity = type(before)
    new = check_changes(entity, changes)
    if "custom" in new:
        new["custom"] = {**before.custom, **plain_value(new["custom"], f"{entity.__name__}.custom")}
    for name, by in increments.items():
        _add(before, new, find_field(entity, name), by)
    if all(is_same(getattr(before, name), value) for name, value in new.items()):
        return None
    after = msgspec.structs.replace(before, **new)
    return StoredRecord(
        row.entity,
        row.business_id,
        row.id,
        row.version + 1,
        row.created_at,
        to_micros(now),
        encode_data(after),
    )


def delete_record(
    tx: Tx,
    entity: type[E],
    business_id: str,
    id: str,
    *,
    expected_version: int | None = None,
) -> E:
    """
    Delete a record and return what it was.

    Raises:
        RecordMissingError: There is no such record.
        VersionConflictError: It is not at *expected_version* any more.
    """
    row = _require_row(tx, entity, business_id, id, expected_version)
    tx.run(_DELETE, _params(entity, business_id, id))
    return read_record(entity, row)


def select_records(
    tx: Tx,
    entity: type[E],
    business_id: str | None,
    where: Where | None = None,
    *,
    order_by: str | Sequence[str] | None = None,
    limit: int | None = None,
    after: str | None = None,
) -> list[E]:
    """
    Return the records that fit; *business_id* None means of every tenant.

    Raises:
        UsageError: A field or operator is unknown, or a value does not fit.
    """
    query = build_query(entity, where, order_by=order_by, limit=limit, after=after)
    rows = tx.rows(select_statement(tx, query, business_id))
    return [read_record(entity, row) for row in rows]


def count_records(
    tx: Tx, entity: type[Entity], business_id: str | None, where: Where | None = None
) -> int:
    """
    Return how many records fit; *business_id* None means of every tenant.

    Raises:
        UsageError: A field or operator is unknown, or a value does not fit.
    """
    return int(tx.scalar(count_statement(tx, build_query(entity, where), business_id)))


def check_creation(entity: type[Entity], fields: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the fields of a new record as their declared types.

    Raises:
        UsageError: A field is unknown, or a value does not fit.
    """
    if "version" in fields:
        raise UsageError(f"{entity.__name__}.version is set by Dovetail.", field="version")
    return check_fields(entity, dict(fields))


def check_changes(entity: type[Entity], changes: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return changes as the declared types of their fields.

    Raises:
        UsageError: A field is unknown or set by the store, or a value does not fit.
    """
    for name in changes:
        if name in SYSTEM:
            raise UsageError(
                f"{entity.__name__}.{name} is set by Dovetail and cannot be changed.", field=name
            )
    return check_fields(entity, dict(changes))


def ensure_indexes(tx: Tx, entities: Iterable[type[Entity]]) -> None:
    """
    Create the indexes that the entities declare.

    Raises:
        UsageError: An index is on a field that does not exist.
    """
    for entity in entities:
        for declared in entity.__indexes__:
            fields = (declared,) if isinstance(declared, str) else declared
            paths = [find_field(entity, name).path for name in fields]
            tx.ensure_index(index_name(entity, fields), entity_name(entity), paths)


def index_name(entity: type[Entity], fields: Sequence[str]) -> str:
    """Return the name of an index: stable, so that it is made once."""
    name = "_".join(("ix_records", entity_name(entity), *fields))
    return re.sub(r"\W", "_", name)


def _params(entity: type[Entity], business_id: str, id: str | None = None) -> dict[str, Any]:
    params: dict[str, Any] = {"of_entity": entity_name(entity), "of_business": business_id}
    return params if id is None else params | {"of_id": id}


def _require_row(
    tx: Tx, entity: type[Entity], business_id: str, id: str, expected_version: int | None
) -> Any:
    row = tx.first(_LOAD_TO_CHANGE, _params(entity, business_id, id))
    if row is None:
        raise missing_record(entity, id)
    if expected_version is not None and row.version != expected_version:
        raise stale_record(entity, id, expected_version, row.version)
    return row


def missing_record(entity: type[Entity], id: str) -> RecordMissingError:
    """Return the error for a record that is not there."""
    return RecordMissingError(
        f"There is no {entity.__name__} {id} for this tenant. It was deleted, belongs to another "
        "tenant, or never existed; db.find_one(...) returns None instead.",
        entity=entity.__name__,
        id=id,
    )


def stale_record(entity: type[Entity], id: str, read: int, found: int) -> VersionConflictError:
    """Return the error for a record that was changed since it was read."""
    return VersionConflictError(
        f"{entity.__name__} {id} was changed by someone else: it was read at version {read} and "
        f"is at version {found}. Read it again, or update by id to change it whatever its version.",
        entity=entity.__name__,
        id=id,
        expected=read,
        found=found,
    )


def _refuse_known(tx: Tx, rows: Sequence[StoredRecord]) -> None:
    for row, count in Counter(row[:3] for row in rows).items():
        if count > 1:
            raise _exists(next(one for one in rows if one[:3] == row))
    groups: dict[tuple[str, str], dict[str, StoredRecord]] = {}
    for one in rows:
        groups.setdefault(one[:2], {})[one.id] = one
    for (entity, business_id), by_id in groups.items():
        ids = list(by_id)
        for start in range(0, len(ids), _CHUNK):
            params = {"of_entity": entity, "of_business": business_id}
            known = tx.first(_KNOWN, params | {"ids": ids[start : start + _CHUNK]})
            if known is not None:
                raise _exists(by_id[known.id])


def _exists(row: StoredRecord) -> RecordConflictError:
    return RecordConflictError(
        f"There is a record {row.entity} {row.id} already. Update it with db.update, or leave "
        "out the id to get a new one.",
        operation="create",
        existing_id=row.id,
    )


def _add(before: Entity, new: dict[str, Any], field: RecordField, by: Number) -> None:
    if field.is_system:
        raise UsageError(f"{field} is set by Dovetail and cannot be incremented.")
    name = field.name.removeprefix("custom.")
    if name != field.name:
        target = new.setdefault("custom", dict(before.custom))
        current = target.get(name)
    else:
        target, current = new, new.get(name, getattr(before, name))
    if field.kind == "decimal" and isinstance(by, float):
        check_value(field, by)
    numbers: tuple[type[Any], ...] = (int, Decimal) if field.kind == "decimal" else (int, float)
    fits = field.kind in {"number", "decimal", "any"}
    if not fits or not isinstance(by, numbers) or not isinstance(current, (*numbers, type(None))):
        raise UsageError(
            f"{field} cannot be incremented by {by!r}: it holds {current!r}. Only numbers can be "
            "incremented, by a whole number, or a Decimal where the field is one.",
            field=field.name,
        )
    target[name] = check_value(field, by if current is None else current + by)
