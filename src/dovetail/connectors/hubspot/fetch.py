"""Fetching records by id, or by a unique property, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.crm_object import object_of
from dovetail.connectors.hubspot.value import chunks, merged_ids, record_of
from dovetail.errors import RecordNotFoundError

Item = dict[str, Any]


async def read_many(
    api: Api, resource: Resource, ids: Sequence[str], fields: Sequence[str]
) -> list[RemoteRecord | None]:
    """Return records by id, in order, None for those that are gone."""
    found: dict[str, RemoteRecord] = {}
    for chunk in chunks(list(dict.fromkeys(ids))):
        told = [*fields, *object_of(resource).merged]
        items, missing = await batch_read(api, resource, chunk, told)
        by_id = {str(item["id"]): item for item in items}
        by_id = {old: item for item in items for old in merged_ids(resource, item)} | by_id
        for id in chunk:
            item = by_id.get(id)
            if item is None and id not in missing:
                item = await _read_one(api, resource, id, fields)
            if item is not None and not item.get("archived"):
                found[id] = record_of(resource, item, fields, asked_id=id)
    return [found.get(id) for id in ids]


async def read_whole(
    api: Api, resource: Resource, ids: Sequence[str], fields: Iterable[str]
) -> dict[str, Item]:
    """Return id -> the record with these properties, of whatever there is."""
    told = [*fields, *object_of(resource).merged]
    found: dict[str, Item] = {}
    for chunk in chunks(ids):
        items, _ = await batch_read(api, resource, chunk, told)
        found |= {str(item["id"]): item for item in items}
    return found


async def batch_read(
    api: Api, resource: Resource, ids: Sequence[str], fields: Iterable[str], id_property: str = ""
) -> tuple[list[Item], set[str]]:
    """Return what one call finds (at most 100 ids), and the ids it says are missing."""
    body: dict[str, Any] = {
        "inputs": [{"id": id} for id in ids],
        "properties": list(dict.fromkeys(fields)),
        "propertiesWithHistory": [],
    }
    if id_property:
        body["idProperty"] = id_property
    reply = await api.request(
        "POST",
        f"{resource.path}/batch/read",
        operation=f"read {resource.name}",
        query={"archived": "false"},
        json=body,
        repeatable=True,
        expects=("results",),
    )
    # Any other error says that an id could not be read now, not that its record is gone.
    contexts = [
        error.get("context") or {}
        for error in reply.json.get("errors") or []
        if error.get("category") == "OBJECT_NOT_FOUND"
    ]
    missing = {str(id) for context in contexts for id in context.get("ids") or []}
    return reply.json["results"], missing


async def _read_one(api: Api, resource: Resource, id: str, fields: Sequence[str]) -> Item | None:
    try:
        reply = await api.request(
            "GET",
            f"{resource.path}/{quote(id, safe='')}",
            operation=f"read one of {resource.name}",
            query={"properties": [*fields, resource.modified_field]},
            repeatable=True,
            expects=("id",),
        )
    except RecordNotFoundError:
        return None
    item: Item = reply.json
    return item
