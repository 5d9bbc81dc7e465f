"""How far changes have been read, and which rows the overlap with the next reading shows again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dovetail.connector_sdk.record import Cursor
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import soql
from dovetail.connectors.salesforce.value import MODIFIED, SKEW, Row, moment
from dovetail.core import json

_SEEN_LIMIT = 5000


def cursor_at(watermark: str | None) -> Cursor:
    """
    Return the cursor behind a time of Salesforce, None for the beginning.

    ``watermark``: the latest change that was seen. ``locator``: the next page of a query that is
    under way. ``ceiling``: the latest change there was when that query, or that job, began.
    ``seen``: id -> time and content of the rows that the next query will show once more. ``job``:
    a bulk job that is under way. ``plain``: read page by page to the end, since a job failed.
    """
    return {"watermark": watermark, "locator": None, "ceiling": None, "seen": {}}


def since(resource: Resource, cursor: Cursor) -> str:
    """Return the condition of a query that goes on behind a cursor, empty for everything."""
    if cursor["watermark"] is None:
        return ""
    return f"{MODIFIED} >= {_overlap(resource, cursor['watermark'])}"


def versions(rows: Iterable[Row]) -> dict[str, str]:
    """Return id -> the time and the content of each row."""
    return {row["Id"]: _version(row) for row in rows}


def fresh(rows: Iterable[Row], cursor: Cursor, current: Mapping[str, str]) -> list[Row]:
    """Return the rows that were not seen as they are now, in their *current* versions."""
    return [row for row in rows if cursor["seen"].get(row["Id"]) != current[row["Id"]]]


def moved(
    resource: Resource,
    cursor: Cursor,
    rows: Iterable[Row],
    noted: Mapping[str, str],
    ceiling: str | None,
) -> dict[str, Any]:
    """
    Return how far the cursor has come with rows in the order of their changes.

    Those whose version is *noted* count as seen when they are shown once more.
    """
    stamps = (stamp(row) for row in rows)
    passed = [at for at in stamps if ceiling is None or at <= ceiling]
    known = [cursor["watermark"]] if cursor["watermark"] is not None else []
    watermark = max([*known, *passed], default=None)
    return {"watermark": watermark, "seen": seen(resource, cursor, noted, watermark)}


def seen(
    resource: Resource, cursor: Cursor, noted: Mapping[str, str], watermark: str | None
) -> dict[str, str]:
    """Return what the query behind *watermark* will show once more, the *noted* included."""
    found: dict[str, str] = {**cursor["seen"], **noted}
    if watermark is None:
        return found
    begin = _overlap(resource, watermark)
    kept = sorted((at, id) for id, at in found.items() if at >= begin)
    return {id: at for at, id in kept[-_SEEN_LIMIT:]}


def settled(current: Mapping[str, str], now: datetime) -> dict[str, str]:
    """Leave out what may still change within its second, where the content was not queried."""
    until = soql.time(now - SKEW)
    return {id: version for id, version in current.items() if version < until}


def _version(row: Row) -> str:
    # Salesforce's times are whole seconds: a record that is edited again in the second in which
    # it was read keeps its time, and only its content tells.
    told = {name: value for name, value in row.items() if name != "attributes"}
    content = hashlib.blake2b(json.canonical(told), digest_size=6).hexdigest()
    return f"{stamp(row)} {content}"


def stamp(row: Row) -> str:
    """Return the time of a row's last change."""
    return soql.time(moment(row[MODIFIED]))


def _overlap(resource: Resource, watermark: str) -> str:
    return soql.time(moment(watermark) - timedelta(seconds=resource.consistency_lag_s))
