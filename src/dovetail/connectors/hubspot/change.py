"""Reading every record of an object: a scan by id, then changes by search."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Cursor, Page
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.crm_object import object_of
from dovetail.connectors.hubspot.fetch import Item, read_whole
from dovetail.connectors.hubspot.value import merged_ids, millis, modified_at, next_after, record_of
from dovetail.connectors.hubspot.version import remember, versions

_LIST_LIMIT = 100
_SEARCH_LIMIT = 200
_FIELDS_LENGTH = 2000  # a search body may have 3,000 characters, an address about 8,000
# How far our clock may be behind or ahead of HubSpot's before a quiet account is re-read for it.
_CLOCK_MARGIN_MS = 5 * 60 * 1000


def cursor_at(resource: Resource, since: datetime) -> Cursor:
    """Return the cursor that reads every change made at or after *since*, without a scan."""
    start = millis(since)
    begin = start - _lag(resource)
    return {"phase": "delta", "since": begin, "watermark": start, "after": None, "seen": {}}


async def read_page(
    api: Api, resource: Resource, fields: Sequence[str], cursor: Cursor | None
) -> Page:
    """Return the next page of the scan, or of the changes since it began."""
    now = millis(api.clock.now())
    if cursor is None:
        cursor = {"phase": "list", "started": now, "watermark": now, "after": None, "seen": {}}
    if cursor["phase"] == "list":
        return await _scan(api, resource, fields, cursor)
    return await _changes(api, resource, fields, {"started": now, **cursor})


async def _scan(api: Api, resource: Resource, fields: Sequence[str], cursor: Cursor) -> Page:
    query: dict[str, str | list[str]] = {
        "limit": str(_LIST_LIMIT),
        "properties": _told(resource, fields),
        "archived": "false",
    }
    if cursor["after"]:
        query["after"] = cursor["after"]
    reply = await api.request(
        "GET",
        resource.path,
        operation=f"list {resource.name}",
        query=query,
        repeatable=True,
        expects=("results",),
    )
    items = await _complete(api, resource, fields, reply.json["results"])
    since = cursor["started"] - _lag(resource)
    seen = remember(cursor["seen"], versions(resource, items, _told(resource, fields)), since)
    after = next_after(reply.json)
    if after is None:
        changed = {"phase": "delta", "since": since, "after": None, "seen": seen}
        return _page(resource, items, fields, {**cursor, **changed}, more=True)
    return _page(resource, items, fields, {**cursor, "after": after, "seen": seen}, more=True)


async def _changes(api: Api, resource: Resource, fields: Sequence[str], cursor: Cursor) -> Page:
    # Never by offset: a record that changes meanwhile moves to the end, and the one behind it
    # would slip past. Each page starts from the last time that was seen, which also keeps every
    # search below HubSpot's 10,000 results; `after` is an id inside of one crowded millisecond.
    since, after = cursor["since"], cursor["after"]
    reply = await api.request(
        "POST",
        f"{resource.path}/search",
        operation=f"search changed {resource.name}",
        json=_search(resource, fields, since, after),
        repeatable=True,
        expects=("results",),
    )
    found: list[Item] = reply.json["results"]
    known = cursor["seen"]
    current = versions(resource, found, _told(resource, fields))
    fresh = [item for item in found if known.get(str(item["id"])) != current[str(item["id"])]]
    items = await _complete(api, resource, fields, fresh)
    last = max((millis(modified_at(resource, item)) for item in found), default=since)
    moved = {**cursor, "watermark": max(cursor["watermark"], last), "after": None}
    if found and next_after(reply.json) is not None:
        if after is not None or last == since:
            moved["after"] = str(found[-1]["id"]) if after is not None else "0"
        else:
            moved["since"] = last
    elif after is not None:
        moved["since"] = since + 1
    else:
        return _end_round(resource, fields, items, current, moved)
    # What a later page, or the next round, may show again: this very time, and the overlap.
    overlap = cursor["started"] - _CLOCK_MARGIN_MS - _lag(resource)
    seen = remember(known, current, min(last, overlap))
    return _page(resource, items, fields, {**moved, "seen": seen}, more=True)


def _end_round(
    resource: Resource,
    fields: Sequence[str],
    items: list[Item],
    current: dict[str, str],
    cursor: Cursor,
) -> Page:
    # What was written up to one lag before the round began was visible to all of it. In a quiet
    # account the start moves on with the clock, so that an old crowd is not re-read for ever.
    started = cursor.pop("started")
    quiet = started - _CLOCK_MARGIN_MS
    since = min(started, max(cursor["watermark"], quiet)) - _lag(resource)
    seen = remember(cursor["seen"], current, since)
    return _page(resource, items, fields, {**cursor, "since": since, "seen": seen}, more=False)


def _search(
    resource: Resource, fields: Sequence[str], since: int, after: str | None
) -> dict[str, Any]:
    modified = resource.modified_field
    filters = [{"propertyName": modified, "operator": "GTE", "value": str(since)}]
    sort = modified
    if after is not None:
        sort = "hs_object_id"
        filters = [
            {"propertyName": modified, "operator": "EQ", "value": str(since)},
            {"propertyName": sort, "operator": "GT", "value": after},
        ]
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": sort, "direction": "ASCENDING"}],
        "properties": _told(resource, fields),
        "limit": _SEARCH_LIMIT,
    }


async def _complete(
    api: Api, resource: Resource, fields: Sequence[str], items: list[Item]
) -> list[Item]:
    if not _is_wide(fields):
        return items
    found = await read_whole(api, resource, [str(item["id"]) for item in items], fields)
    return [found[id] for item in items if (id := str(item["id"])) in found]


def _page(
    resource: Resource, items: list[Item], fields: Sequence[str], cursor: Cursor, *, more: bool
) -> Page:
    records = [record_of(resource, item, fields) for item in items]
    merged = [
        record_of(resource, item, (), asked_id=old)
        for item in items
        for old in merged_ids(resource, item)
    ]
    return Page(records=records + merged, cursor=cursor, more=more)


def _told(resource: Resource, fields: Sequence[str]) -> list[str]:
    modified = resource.modified_field
    if _is_wide(fields):
        return [modified]
    return list(dict.fromkeys([*fields, modified, *object_of(resource).merged]))


def _is_wide(fields: Sequence[str]) -> bool:
    return sum(len(name) + 3 for name in fields) > _FIELDS_LENGTH


def _lag(resource: Resource) -> int:
    return int(resource.consistency_lag_s * 1000)
