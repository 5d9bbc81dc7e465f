"""Fetching contacts by id, e-mail or our own key, in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.contact import (
    KEY_PROPERTY,
    MERGED,
    MODIFIED,
    chunks,
    merged_ids,
    record_of,
)
from dovetail.errors import RecordNotFoundError, UnsupportedCapabilityError

Item = dict[str, Any]


async def read_many(
    api: Api, resource: Resource, ids: Sequence[str], fields: Sequence[str]
) -> list[RemoteRecord | None]:
    """Return records by id, in order, None for those that are gone."""
    found: dict[str, RemoteRecord] = {}
    for chunk in chunks(list(dict.fromkeys(ids))):
        items, missing = await batch_read(api, resource, chunk, [*fields, *MERGED])
        by_id = {str(item["id"]): item for item in items}
        by_id = {old: item for item in items for old in merged_ids(item)} | by_id
        for id in chunk:
            item = by_id.get(id)
            if item is None and id not in missing:
                item = await _read_one(api, resource, id, fields)
            if item is not None and not item.get("archived"):
                found[id] = record_of(item, fields, asked_id=id)
    return [found.get(id) for id in ids]


async def find_many(
    api: Api, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
) -> dict[str, list[RemoteRecord]]:
    """Return value -> contacts by a unique property. Never by search, which lags behind."""
    if field not in ("email", KEY_PROPERTY):
        raise UnsupportedCapabilityError(
            f"HubSpot finds contacts by email or {KEY_PROPERTY}, not by {field!r}.",
            platform="hubspot",
            resource=resource.name,
        )
    is_email = field == "email"
    asked = {value: value.strip().lower() if is_email else value for value in values}
    by_value: dict[str, Item] = {}
    for chunk in chunks([value for value in dict.fromkeys(asked.values()) if value]):
        told = [*fields, field, "hs_additional_emails"]
        items, _ = await batch_read(api, resource, chunk, told, id_property=field)
        for item in items:
            properties = item["properties"]
            own = [properties.get(field) or ""]
            if is_email:
                own += (properties.get("hs_additional_emails") or "").split(";")
            # A contact without secondary addresses must not be found by a blank value.
            keys = [text.strip().lower() if is_email else text for text in own]
            by_value |= {key: item for key in keys if key}
    return {
        value: [record_of(by_value[key], fields)] for value, key in asked.items() if key in by_value
    }


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
        operation="read contacts",
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
            operation="read a contact",
            query={"properties": [*fields, MODIFIED]},
            repeatable=True,
            expects=("id",),
        )
    except RecordNotFoundError:
        return None
    item: Item = reply.json
    return item
