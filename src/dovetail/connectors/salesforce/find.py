"""Finding records by the text in a field, and those that creates made whose answer was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord, Write
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import soql
from dovetail.connectors.salesforce.fetch import complete, pages
from dovetail.connectors.salesforce.record import record_of
from dovetail.connectors.salesforce.sobject import SObject, object_of
from dovetail.connectors.salesforce.value import SKEW, Row, rows_of


async def find_many(
    api: Api, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
) -> dict[str, list[RemoteRecord]]:
    """Return value -> the records that have it, oldest first."""
    asked = {value: _matched(field, value) for value in values}
    literals = [soql.text(key) for key in dict.fromkeys(asked.values()) if key]
    rows = await _rows_where(api, resource, [*fields, field], f"{field} IN (", literals, ",", ")")
    by_key: dict[str, list[RemoteRecord]] = {}
    for row in rows:
        key = _matched(field, str(row.get(field) or ""))
        by_key.setdefault(key, []).append(record_of(resource, row, fields))
    return {value: by_key[key] for value, key in asked.items() if key in by_key}


async def look_up(
    api: Api, resource: Resource, creates: Sequence[Write], since: datetime, fields: Sequence[str]
) -> list[RemoteRecord | None]:
    """
    Return, per create whose answer was lost, the record that it made.

    Found by the fields that the object declares, such as the e-mail address, or else name and
    telephone. Each record serves one create: of several, the one that agrees with it in most of
    what was sent.
    """
    one = object_of(resource)
    told = [*fields, *(name for names in one.identities for name in names)]
    created = f"CreatedDate >= {soql.time(since - SKEW)} AND ("
    conditions = [condition for write in creates if (condition := _condition(one, write))]
    rows = await _rows_where(
        api, resource, told, created, list(dict.fromkeys(conditions)), " OR ", ")"
    )
    unused = {row["Id"]: row for row in rows}
    found: list[RemoteRecord | None] = []
    for write in creates:
        made = [row for row in unused.values() if _is_made_by(one, row, write)]
        best = max(made, key=lambda row: _agreement(row, write.fields), default=None)
        found.append(None if best is None else record_of(resource, unused.pop(best["Id"]), fields))
    return found


async def _rows_where(
    api: Api,
    resource: Resource,
    fields: Sequence[str],
    opening: str,
    parts: Sequence[str],
    separator: str,
    closing: str,
) -> list[Row]:
    """Return the rows that meet a condition, asked in as many queries as its parts need."""
    operation = f"find {resource.name}"
    told = soql.select(resource, () if soql.is_wide(resource, fields) else fields)

    def query(joined: str) -> str:
        where = f"{opening}{joined}{closing}"
        return soql.query(told, resource.path, where, order="CreatedDate ASC, Id ASC")

    rows: list[Row] = []
    for joined in soql.packed(parts, separator, query("")):
        async for reply in pages(api, operation, query(joined)):
            rows += rows_of(reply.body, "records")
    return await complete(api, resource, rows, fields)


def _identity(one: SObject, write: Write) -> dict[str, str]:
    """Return the fields that tell the record of a create, and what was sent in them."""
    sent = (
        {name: _text(write.fields.get(name)) for name in names}
        for names in one.identities
        if names is one.identities[-1] or _text(write.fields.get(names[0]))
    )
    return next(sent)


def _condition(one: SObject, write: Write) -> str | None:
    named = _identity(one, write)
    if one.needs in named and not named[one.needs]:
        return None  # Salesforce makes no such record without it
    told = [f"{name} = {soql.text(text) if text else 'null'}" for name, text in named.items()]
    return told[0] if len(told) == 1 else f"({' AND '.join(told)})"


def _is_made_by(one: SObject, row: Row, write: Write) -> bool:
    named = _identity(one, write)
    return all(_loose(row.get(name)) == _loose(text) for name, text in named.items())


def _agreement(row: Row, fields: Mapping[str, Any]) -> int:
    return sum(name in row and _loose(row[name]) == _loose(value) for name, value in fields.items())


def _matched(field: str, value: str) -> str:
    return value.strip().lower() if field == "Email" else value


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _loose(value: Any) -> str:
    return _text(value).casefold()
