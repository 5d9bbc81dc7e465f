"""Fetching records: SOQL page by page, and by id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.response import ApiResponse
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import soql
from dovetail.connectors.salesforce.record import record_of
from dovetail.connectors.salesforce.sobject import object_of
from dovetail.connectors.salesforce.value import Row, is_id, long_id, rows_of


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


async def pages(
    api: Api, operation: str, query: str, *, deleted: bool = False
) -> AsyncIterator[ApiResponse]:
    """Yield every page of a query."""
    reply = await ask(api, operation, query, deleted=deleted)
    yield reply
    while locator := reply.json.get("nextRecordsUrl"):
        reply = await follow(api, operation, locator)
        yield reply


async def read_many(
    api: Api, resource: Resource, ids: Sequence[str], fields: Sequence[str]
) -> list[RemoteRecord | None]:
    """Return records by id, in order: of a merged one the winner, None for those that are gone."""
    wanted = [long_id(id) for id in ids]
    rows = await rows_by_id(api, resource, wanted, fields)
    gone = [id for id in dict.fromkeys(wanted) if is_id(id) and id not in rows]
    winners = await _winners(api, resource, gone)
    if winners:
        rows |= await rows_by_id(api, resource, list(winners.values()), fields)
    found = [rows.get(winners.get(id, id)) for id in wanted]
    return [None if row is None else record_of(resource, row, fields) for row in found]


async def _winners(api: Api, resource: Resource, ids: Sequence[str]) -> dict[str, str]:
    """Return, for those of the ids that were merged, the record that stands for them now."""
    merged: dict[str, str] = {}
    asked: set[str] = set()
    unknown = set(ids) if object_of(resource).merges else set()

    def query(joined: str) -> str:
        where = f"Id IN ({joined}) AND MasterRecordId != null"
        return soql.query(["Id", "MasterRecordId"], resource.path, where, order="Id ASC")

    while unknown:
        for joined in soql.packed([soql.text(id) for id in sorted(unknown)], ",", query("")):
            operation = f"read {resource.name}"
            async for reply in pages(api, operation, query(joined), deleted=True):
                merged |= {row["Id"]: row["MasterRecordId"] for row in reply.json["records"]}
        asked |= unknown
        # A winner may have been merged itself, since.
        unknown = set(merged.values()) - asked
    return {id: _end(merged, id) for id in ids if id in merged}


def _end(merged: Mapping[str, str], id: str) -> str:
    passed = {id}
    while (winner := merged.get(id)) is not None and winner not in passed:
        passed.add(winner)
        id = winner
    return id


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
                "fields": soql.select(resource, fields),
            },
            repeatable=True,
        )
        rows = [row for row in rows_of(reply.body) if row and not row.get("IsDeleted")]
        found |= {row["Id"]: row for row in rows}
    return found


async def complete(
    api: Api, resource: Resource, rows: Sequence[Row], fields: Sequence[str]
) -> list[Row]:
    """Add the fields that did not fit in the query's address; read with the rows' ids."""
    if not soql.is_wide(resource, fields):
        return list(rows)
    alive = [row["Id"] for row in rows if not row.get("IsDeleted")]
    whole = await rows_by_id(api, resource, alive, fields)
    return [{**row, **whole.get(row["Id"], {})} for row in rows]
