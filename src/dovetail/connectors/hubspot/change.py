"""Reading every contact: a scan by id, then changes by search."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Cursor, Page
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.contact import (
    MERGED,
    MODIFIED,
    chunks,
    merged_ids,
    millis,
    moment,
    record_of,
)
from dovetail.connectors.hubspot.fetch import Item, batch_read
from dovetail.core import json

_LIST_LIMIT = 100
_SEARCH_LIMIT = 200
_FIELDS_LENGTH = 2000  # a search body may have 3,000 characters, an address about 8,000
_SEEN_LIMIT = 5000
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
        "properties": _told(fields),
        "archived": "false",
    }
    if cursor["after"]:
        query["after"] = cursor["after"]
    reply = await api.request(
        "GET",
        resource.path,
        operation="list contacts",
        query=query,
        repeatable=True,
        expects=("results",),
    )
    items = await _complete(api, resource, fields, reply.json["results"])
    since = cursor["started"] - _lag(resource)
    seen = _remember(cursor["seen"], _versions(items, fields), since)
    after = _next(reply.json)
    if after is None:
        changed = {"phase": "delta", "since": since, "after": None, "seen": seen}
        return _page(items, fields, {**cursor, **changed}, more=True)
    return _page(items, fields, {**cursor, "after": after, "seen": seen}, more=True)


async def _changes(api: Api, resource: Resource, fields: Sequence[str], cursor: Cursor) -> Page:
    # Never by offset: a record that changes meanwhile moves to the end, and the one behind it
    # would slip past. Each page starts from the last time that was seen, which also keeps every
    # search below HubSpot's 10,000 results; `after` is an id inside of one crowded millisecond.
    since, after = cursor["since"], cursor["after"]
    reply = await api.request(
        "POST",
        f"{resource.path}/search",
        operation="search changed contacts",
        json=_search(fields, since, after),
        repeatable=True,
        expects=("results",),
    )
    found: list[Item] = reply.json["results"]
    known = cursor["seen"]
    versions = _versions(found, fields)
    fresh = [item for item in found if known.get(str(item["id"])) != versions[str(item["id"])]]
    items = await _complete(api, resource, fields, fresh)
    last = max((_modified(item) for item in found), default=since)
    moved = {**cursor, "watermark": max(cursor["watermark"], last), "after": None}
    if found and _next(reply.json) is not None:
        if after is not None or last == since:
            moved["after"] = str(found[-1]["id"]) if after is not None else "0"
        else:
            moved["since"] = last
    elif after is not None:
        moved["since"] = since + 1
    else:
        return _end_round(resource, fields, items, versions, moved)
    # What a later page, or the next round, may show again: this very time, and the overlap.
    overlap = cursor["started"] - _CLOCK_MARGIN_MS - _lag(resource)
    seen = _remember(known, versions, min(last, overlap))
    return _page(items, fields, {**moved, "seen": seen}, more=True)


def _end_round(
    resource: Resource,
    fields: Sequence[str],
    items: list[Item],
    versions: dict[str, str],
    cursor: Cursor,
) -> Page:
    # What was written up to one lag before the round began was visible to all of it. In a quiet
    # account the start moves on with the clock, so that an old crowd is not re-read for ever.
    started = cursor.pop("started")
    quiet = started - _CLOCK_MARGIN_MS
    since = min(started, max(cursor["watermark"], quiet)) - _lag(resource)
    seen = _remember(cursor["seen"], versions, since)
    return _page(items, fields, {**cursor, "since": since, "seen": seen}, more=False)


def _search(fields: Sequence[str], since: int, after: str | None) -> dict[str, Any]:
    filters = [{"propertyName": MODIFIED, "operator": "GTE", "value": str(since)}]
    sort = MODIFIED
    if after is not None:
        sort = "hs_object_id"
        filters = [
            {"propertyName": MODIFIED, "operator": "EQ", "value": str(since)},
            {"propertyName": sort, "operator": "GT", "value": after},
        ]
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": sort, "direction": "ASCENDING"}],
        "properties": _told(fields),
        "limit": _SEARCH_LIMIT,
    }


async def _complete(
    api: Api, resource: Resource, fields: Sequence[str], items: list[Item]
) -> list[Item]:
    if not _is_wide(fields):
        return items
    found: dict[str, Item] = {}
    for chunk in chunks([str(item["id"]) for item in items]):
        read, _ = await batch_read(api, resource, chunk, [*fields, *MERGED])
        found |= {str(item["id"]): item for item in read}
    return [found[id] for item in items if (id := str(item["id"])) in found]


def _page(items: list[Item], fields: Sequence[str], cursor: Cursor, *, more: bool) -> Page:
    records = [record_of(item, fields) for item in items]
    merged = [record_of(item, (), asked_id=old) for item in items for old in merged_ids(item)]
    return Page(records=records + merged, cursor=cursor, more=more)


def _remember(seen: dict[str, str], versions: dict[str, str], since: int) -> dict[str, str]:
    both = seen | versions
    dated = sorted((int(str(version).split()[0]), id) for id, version in both.items())
    return {id: both[id] for at, id in dated[-_SEEN_LIMIT:] if at >= since}


def _versions(items: Iterable[Item], fields: Sequence[str]) -> dict[str, str]:
    # With the content, because an edit in the very millisecond of a reading keeps the time.
    found: dict[str, str] = {}
    for item in items:
        properties = item.get("properties") or {}
        told = json.canonical([properties.get(name) for name in _told(fields)])
        content = hashlib.blake2b(told, digest_size=6).hexdigest()
        found[str(item["id"])] = f"{_modified(item)} {content}"
    return found


def _told(fields: Sequence[str]) -> list[str]:
    return [MODIFIED] if _is_wide(fields) else list(dict.fromkeys([*fields, MODIFIED, *MERGED]))


def _is_wide(fields: Sequence[str]) -> bool:
    return sum(len(name) + 3 for name in fields) > _FIELDS_LENGTH


def _modified(item: Item) -> int:
    properties = item.get("properties") or {}
    return millis(moment(properties.get(MODIFIED) or item.get("updatedAt")))


def _next(reply: Item) -> str | None:
    after = ((reply.get("paging") or {}).get("next") or {}).get("after")
    return str(after) if after else None


def _lag(resource: Resource) -> int:
    return int(resource.consistency_lag_s * 1000)
