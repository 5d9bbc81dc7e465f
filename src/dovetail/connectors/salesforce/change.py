"""Reading what changed, oldest change first: a query per round, then its pages by locator."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Cursor, Page
from dovetail.connector_sdk.response import ApiResponse
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import bulk_read, soql, watermark
from dovetail.connectors.salesforce.description import Descriptions
from dovetail.connectors.salesforce.fetch import ask, complete, follow
from dovetail.connectors.salesforce.record import record_of
from dovetail.connectors.salesforce.value import MODIFIED, Row, rows_of
from dovetail.errors import CursorExpiredError, RecordNotFoundError, TransientError


async def read_page(
    api: Api,
    descriptions: Descriptions,
    resource: Resource,
    fields: Sequence[str],
    cursor: Cursor | None,
) -> Page:
    """Return the next changed records, and tombstones of those that were deleted or merged."""
    cursor = cursor or watermark.cursor_at(None)
    if cursor.get("job"):
        return await bulk_read.read_page(api, descriptions, resource, fields, cursor)
    try:
        reply, cursor = await _next_page(api, resource, fields, cursor)
    except TransientError as error:
        is_too_much = error.platform_code == "QUERY_TIMEOUT"
        if not (is_too_much and bulk_read.is_possible(api, resource, cursor)):
            raise
        # An org of this size is not put in order within a call, however often it is asked.
        after = {"locator": None, "ceiling": await _latest(api, resource), "job": bulk_read.NEW}
        return Page(records=[], cursor={**cursor, **after}, more=True)
    locator = reply.json.get("nextRecordsUrl")
    ceiling, job = cursor["ceiling"], None
    if locator and not cursor["locator"]:
        ceiling = await _latest(api, resource)
        if bulk_read.is_worth_it(api, resource, cursor, reply.json.get("totalSize")):
            # The job goes on behind these rows; the locator is left to end by itself.
            locator, job = None, bulk_read.NEW
    rows: list[Row] = rows_of(reply.body, "records")
    versions = watermark.versions(rows)
    records = await complete(api, resource, watermark.fresh(rows, cursor, versions), fields)
    if soql.is_wide(resource, fields):
        versions = watermark.settled(versions, api.clock.now())
    moved = watermark.moved(resource, cursor, rows, versions, ceiling)
    more = locator is not None or job is not None
    after = {**cursor, **moved, "locator": locator, "ceiling": ceiling if more else None}
    if job is not None:
        after["job"] = job
    if not more:
        after.pop("plain", None)
    return Page(
        records=[record_of(resource, row, fields) for row in records],
        cursor=after,
        more=more,
        total=reply.json.get("totalSize"),
    )


async def _next_page(
    api: Api, resource: Resource, fields: Sequence[str], cursor: Cursor
) -> tuple[ApiResponse, Cursor]:
    """Return the next page, and the cursor that it belongs to."""
    operation = f"read changed {resource.name}"
    if cursor["locator"]:
        try:
            return await follow(api, operation, cursor["locator"]), cursor
        except (CursorExpiredError, RecordNotFoundError):
            # The locator was too old. What was seen stays seen: a new query begins where it
            # ended, one lag earlier, since late changes may have become visible there meanwhile.
            cursor = {**cursor, "locator": None, "ceiling": None}
    told = soql.select(resource, () if soql.is_wide(resource, fields) else fields)
    where = watermark.since(resource, cursor)
    query = soql.query(told, resource.path, where, order=f"{MODIFIED} ASC, Id ASC")
    return await ask(api, operation, query, deleted=True), cursor


async def _latest(api: Api, resource: Resource) -> str | None:
    """
    Return the time of the latest change there is.

    The rows of later pages may have changed after their query began. Their times must not move
    the watermark past changes that this query does not have.
    """
    query = soql.query(["Id", MODIFIED], resource.path, order=f"{MODIFIED} DESC LIMIT 1")
    reply = await ask(api, f"read changed {resource.name}", query, deleted=True)
    return max((watermark.stamp(row) for row in reply.json["records"]), default=None)
