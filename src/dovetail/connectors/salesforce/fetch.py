"""Fetching contacts: SOQL page by page, by id, by value, and creates whose answer was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord, Write
from dovetail.connector_sdk.response import ApiResponse
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import soql
from dovetail.connectors.salesforce.contact import Row, is_id, long_id, record_of

_SKEW = timedelta(minutes=5)
"""How far our clock may be ahead of Salesforce's when a lost create is looked up."""
_IDENTITY = ("LastName", "FirstName", "Phone")


def data_path(api: Api) -> str:
    """Return the root of the API in the connection's version."""
    return f"/services/data/v{str(api.settings.get('api_version', '60.0')).removeprefix('v')}"


async def ask(api: Api, operation: str, query: str, *, deleted: bool = False) -> ApiResponse:
    """Return the first page of a query; with *deleted* of rows in the recycle bin, too."""
    return await api.request(
        "GET",
        f"{data_path(api)}/{'queryAll' if deleted else 'query'}",
        operation=operation,
        query={"q": query},
        repeatable=True,
        expects=("records",),
    )


async def follow(api: Api, operation: str, locator: str) -> ApiResponse:
    """Return the page behind a ``nextRecordsUrl``."""
    return await api.request(
        "GET", locator, operation=operation, repeatable=True, expects=("records",)
    )


async def read_many(
    api: Api, resource: Resource, ids: Sequence[str], fields: Sequence[str]
) -> list[RemoteRecord | None]:
    """Return records by id, in order, None for those that are gone."""
    rows = await rows_by_id(api, resource, ids, fields)
    found = [rows.get(long_id(id)) for id in ids]
    return [None if row is None else record_of(row, fields) for row in found]


async def rows_by_id(
    api: Api, resource: Resource, ids: Sequence[str], fields: Sequence[str]
) -> dict[str, Row]:
    """Return the rows that exist, by id; what cannot be an id is not asked for."""
    wanted = list(dict.fromkeys(long_id(id) for id in ids if is_id(id)))
    found: dict[str, Row] = {}
    for start in range(0, len(wanted), resource.read_batch):
        reply = await api.request(
            "POST",
            f"{data_path(api)}/composite/sobjects/{resource.path}",
            operation=f"read {resource.name}",
            json={
                "ids": wanted[start : start + resource.read_batch],
                "fields": soql.select(fields),
            },
            repeatable=True,
        )
        rows = [row for row in reply.json or () if row and not row.get("IsDeleted")]
        found |= {row["Id"]: row for row in rows}
    return found


async def complete(
    api: Api, resource: Resource, rows: Sequence[Row], fields: Sequence[str]
) -> list[Row]:
    """Add the fields that did not fit in the query's address; read with the rows' ids."""
    if not soql.is_wide(fields):
        return list(rows)
    alive = [row["Id"] for row in rows if not row.get("IsDeleted")]
    whole = await rows_by_id(api, resource, alive, fields)
    return [{**row, **whole.get(row["Id"], {})} for row in rows]


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
        by_key.setdefault(key, []).append(record_of(row, fields))
    return {value: by_key[key] for value, key in asked.items() if key in by_key}


async def look_up(
    api: Api, resource: Resource, creates: Sequence[Write], since: datetime, fields: Sequence[str]
) -> list[RemoteRecord | None]:
    """
    Return, per create whose answer was lost, the record that it made.

    Found by the e-mail address, or else by name and telephone. Each record serves one create: of
    several, the one that agrees with it in most of what was sent.
    """
    told = [*fields, "Email", *_IDENTITY]
    created = f"CreatedDate >= {soql.time(since - _SKEW)} AND ("
    conditions = [condition for write in creates if (condition := _condition(write))]
    rows = await _rows_where(
        api, resource, told, created, list(dict.fromkeys(conditions)), " OR ", ")"
    )
    unused = {row["Id"]: row for row in rows}
    found: list[RemoteRecord | None] = []
    for write in creates:
        made = [row for row in unused.values() if _is_made_by(row, write)]
        best = max(made, key=lambda row: _agreement(row, write.fields), default=None)
        found.append(None if best is None else record_of(unused.pop(best["Id"]), fields))
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
    told = soql.select(() if soql.is_wide(fields) else fields)

    def query(joined: str) -> str:
        where = f"{opening}{joined}{closing}"
        return soql.query(told, resource.path, where, order="CreatedDate ASC, Id ASC")

    rows: list[Row] = []
    for joined in soql.packed(parts, separator, query("")):
        reply = await ask(api, operation, query(joined))
        rows += reply.json["records"]
        while locator := reply.json.get("nextRecordsUrl"):
            reply = await follow(api, operation, locator)
            rows += reply.json["records"]
    return await complete(api, resource, rows, fields)


def _condition(write: Write) -> str | None:
    email = _text(write.fields.get("Email"))
    if email:
        return f"Email = {soql.text(email)}"
    named = {name: _text(write.fields.get(name)) for name in _IDENTITY}
    if not named["LastName"]:
        return None  # Salesforce makes no contact without one
    told = (f"{name} = {soql.text(text) if text else 'null'}" for name, text in named.items())
    return f"({' AND '.join(told)})"


def _is_made_by(row: Row, write: Write) -> bool:
    names = ("Email",) if _text(write.fields.get("Email")) else _IDENTITY
    return all(_loose(row.get(name)) == _loose(write.fields.get(name)) for name in names)


def _agreement(row: Row, fields: Mapping[str, Any]) -> int:
    return sum(name in row and _loose(row[name]) == _loose(value) for name, value in fields.items())


def _matched(field: str, value: str) -> str:
    return value.strip().lower() if field == "Email" else value


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _loose(value: Any) -> str:
    return _text(value).casefold()
