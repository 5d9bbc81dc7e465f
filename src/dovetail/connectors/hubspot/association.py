"""
Associations, read in batch with the records that they begin at.

Where an object has a primary company, that one is told. Without one, all are: the oldest first,
because HubSpot keeps no order of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.edge import Edge, edges_among
from dovetail.connectors.hubspot.value import chunks, next_after

_READ_LIMIT = 1000
_Ends = dict[str, list[dict[str, Any]]]


async def tell_edges(
    api: Api, resource: Resource, records: Sequence[RemoteRecord | None], fields: Sequence[str]
) -> list[RemoteRecord | None]:
    """Return the records with the associations among *fields*; one call for a thousand of them."""
    told: dict[str, dict[str, Any]] = {}
    ids = list(
        dict.fromkeys(record.id for record in records if record is not None and _lives(record))
    )
    for edge in edges_among(resource.name, fields) if ids else ():
        for id, value in (await _read(api, resource, edge, ids)).items():
            told.setdefault(id, {})[edge.field] = value
    return [
        msgspec.structs.replace(record, fields={**record.fields, **told[record.id]})
        if record is not None and record.id in told and _lives(record)
        else record
        for record in records
    ]


def _lives(record: RemoteRecord) -> bool:
    return not record.deleted and record.merged_into is None


async def _read(api: Api, resource: Resource, edge: Edge, ids: Sequence[str]) -> dict[str, Any]:
    """Return id -> what it is associated with; ids that could not be read are missing."""
    found: _Ends = {id: [] for id in ids}
    for chunk in chunks(ids, _READ_LIMIT):
        inputs = [{"id": id} for id in chunk]
        while inputs:
            inputs = await _read_some(api, resource, edge, inputs, found)
    return {id: _value(edge, ends) for id, ends in found.items()}


async def _read_some(
    api: Api, resource: Resource, edge: Edge, inputs: list[dict[str, str]], found: _Ends
) -> list[dict[str, str]]:
    """Add what one call tells; return what has more to tell."""
    reply = await api.request(
        "POST",
        f"/crm/v4/associations/{resource.name}/{edge.to}/batch/read",
        operation=f"read the {edge.to} of {resource.name}",
        json={"inputs": inputs},
        repeatable=True,
        expects=("results",),
    )
    for error in reply.json.get("errors") or []:
        # Without any there may be none to be found; all other errors say that nobody knows.
        if error.get("category") != "OBJECT_NOT_FOUND":
            for id in (error.get("context") or {}).get("ids") or [one["id"] for one in inputs]:
                found.pop(str(id), None)
    more: list[dict[str, str]] = []
    for item in reply.json["results"]:
        id = str(item["from"]["id"])
        if id not in found:
            continue
        found[id] += item.get("to") or []
        after = next_after(item)
        if after is not None:
            more.append({"id": id, "after": after})
    return more


def _value(edge: Edge, ends: list[dict[str, Any]]) -> Any:
    ids = sorted({str(end["toObjectId"]) for end in ends}, key=lambda one: (len(one), one))
    if edge.is_primary:
        primary = [str(end["toObjectId"]) for end in ends if edge.type_id in _types(end)]
        if primary:
            return primary[0]
    if len(ids) < 2:
        return ids[0] if ids else None
    return ids


def _types(end: dict[str, Any]) -> set[int]:
    return {
        int(one["typeId"])
        for one in end.get("associationTypes") or []
        if one.get("category") == "HUBSPOT_DEFINED"
    }
