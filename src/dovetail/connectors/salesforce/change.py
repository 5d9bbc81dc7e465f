"""Reading what changed, oldest change first: a query per round, then its pages by locator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Cursor, Page
from dovetail.connector_sdk.response import ApiResponse
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import soql
from dovetail.connectors.salesforce.fetch import ask, complete, follow
from dovetail.connectors.salesforce.sobject import object_of
from dovetail.connectors.salesforce.value import MODIFIED, Row, moment, record_of, rows_of
from dovetail.core import json
from dovetail.errors import CursorExpiredError, RecordNotFoundError

_SEEN_LIMIT = 5000
# How far our clock may be ahead of Salesforce's when we decide that a second is over there.
_SKEW = timedelta(minutes=5)


def cursor_at(watermark: str | None) -> Cursor:
    """
    Return the cursor behind a time of Salesforce, None for the beginning.

    ``watermark``: the latest change that was seen. ``locator``: the next page of a query that is
    under way. ``ceiling``: the latest change there was when that query began. ``seen``: id -> time
    and content of the rows that the next query will show once more.
    """
    return {"watermark": watermark, "locator": None, "ceiling": None, "seen": {}}


async def read_page(
    api: Api, resource: Resource, fields: Sequence[str], cursor: Cursor | None
) -> Page:
    """Return the next changed records, and tombstones of those that were deleted or merged."""
    cursor = cursor or cursor_at(None)
    operation = _operation(resource)
    reply = await _next_page(api, operation, cursor)
    if reply is None:
        # The locator was too old. What was seen stays seen: a new query begins where it ended,
        # one lag earlier, since in the meantime late changes may have become visible there.
        cursor = {**cursor, "locator": None, "ceiling": None}
        reply = await ask(api, operation, _query(resource, fields, cursor), deleted=True)
    locator = reply.json.get("nextRecordsUrl")
    ceiling = cursor["ceiling"]
    if locator and not cursor["locator"]:
        ceiling = await _latest(api, resource)
    rows: list[Row] = rows_of(reply.body, "records")
    versions = {row["Id"]: _version(row) for row in rows}
    fresh = [row for row in rows if cursor["seen"].get(row["Id"]) != versions[row["Id"]]]
    records = await complete(api, resource, fresh, fields)
    if soql.is_wide(resource, fields):
        versions = _settled(versions, api.clock.now())
    moved = _moved(resource, cursor, rows, versions, ceiling)
    return Page(
        records=[record_of(row, fields, object_of(resource).money) for row in records],
        cursor={**moved, "locator": locator, "ceiling": ceiling if locator else None},
        more=locator is not None,
        total=reply.json.get("totalSize"),
    )


async def _next_page(api: Api, operation: str, cursor: Cursor) -> ApiResponse | None:
    if not cursor["locator"]:
        return None
    try:
        return await follow(api, operation, cursor["locator"])
    except (CursorExpiredError, RecordNotFoundError):
        return None


async def _latest(api: Api, resource: Resource) -> str | None:
    """
    Return the time of the latest change there is.

    The rows of later pages may have changed after their query began. Their times must not move
    the watermark past changes that this query does not have.
    """
    query = soql.query(["Id", MODIFIED], resource.path, order=f"{MODIFIED} DESC LIMIT 1")
    reply = await ask(api, _operation(resource), query, deleted=True)
    return max((_stamp(row) for row in reply.json["records"]), default=None)


def _operation(resource: Resource) -> str:
    return f"read changed {resource.name}"


def _query(resource: Resource, fields: Sequence[str], cursor: Cursor) -> str:
    told = soql.select(resource, () if soql.is_wide(resource, fields) else fields)
    where = ""
    if cursor["watermark"] is not None:
        where = f"{MODIFIED} >= {_overlap(resource, cursor['watermark'])}"
    return soql.query(told, resource.path, where, order=f"{MODIFIED} ASC, Id ASC")


def _moved(
    resource: Resource,
    cursor: Cursor,
    rows: Sequence[Row],
    versions: dict[str, str],
    ceiling: str | None,
) -> dict[str, Any]:
    stamps = [_stamp(row) for row in rows]
    passed = [at for at in stamps if ceiling is None or at <= ceiling]
    known = [cursor["watermark"]] if cursor["watermark"] is not None else []
    watermark = max([*known, *passed], default=None)
    seen = cursor["seen"] | versions
    if watermark is not None:
        since = _overlap(resource, watermark)
        kept = sorted((at, id) for id, at in seen.items() if at >= since)
        seen = {id: at for at, id in kept[-_SEEN_LIMIT:]}
    return {"watermark": watermark, "seen": seen}


def _overlap(resource: Resource, watermark: str) -> str:
    return soql.time(moment(watermark) - timedelta(seconds=resource.consistency_lag_s))


def _version(row: Row) -> str:
    # Salesforce's times are whole seconds: a record that is edited again in the second in which
    # it was read keeps its time, and only its content tells.
    content = hashlib.blake2b(json.canonical(row), digest_size=6).hexdigest()
    return f"{_stamp(row)} {content}"


def _settled(versions: dict[str, str], now: datetime) -> dict[str, str]:
    """Leave out what may still change within its second, where the content was not queried."""
    until = soql.time(now - _SKEW)
    return {id: version for id, version in versions.items() if version < until}


def _stamp(row: Row) -> str:
    return soql.time(moment(row[MODIFIED]))
