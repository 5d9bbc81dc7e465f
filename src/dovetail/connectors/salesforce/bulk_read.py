"""
Reading very many changed records: one bulk job instead of a call for every 2,000 of them.

    the first query told more records than `Resource.bulk_read_from`
        -> the job is made -> it is asked after, less and less often -> its results, page by page

The cursor holds the job from the moment there is one: whoever goes on with it, after a restart or
in another process, asks after that job and makes no second one. Rows of a job come in any order, so
the watermark moves when the last one is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Cursor, Page
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import bulk_job, soql, watermark
from dovetail.connectors.salesforce.description import Descriptions
from dovetail.connectors.salesforce.fetch import data_path
from dovetail.connectors.salesforce.record import record_of
from dovetail.connectors.salesforce.table import rows_in, typed
from dovetail.errors import AuthenticationError, MalformedResponseError, PermanentError

SETTING = "bulk_read_from"
NEW: Mapping[str, Any] = {"id": None, "polls": 0, "is_done": False, "locator": None}
"""A job that is yet to be made, as a cursor holds it."""

# An answer is held in memory, whole; a long text may take as much room as many other fields.
_MOST_ROWS = 10_000
_CELLS = 200_000
_LONG_TEXT_CELLS = 30
_COMPOUND = frozenset({"address", "location"})
_ADVICE = "The records are read page by page instead, which takes more calls."


def is_worth_it(api: Api, resource: Resource, cursor: Cursor, total: int | None) -> bool:
    """Return whether a query finds so many records that a job reads them with fewer calls."""
    least = bulk_job.threshold(api, SETTING, resource.bulk_read_from)
    return least <= (total or 0) and is_possible(api, resource, cursor)


def is_possible(api: Api, resource: Resource, cursor: Cursor) -> bool:
    """Return whether a job may be tried: the connection has not turned it off, and none failed."""
    least = bulk_job.threshold(api, SETTING, resource.bulk_read_from)
    return least > 0 and not cursor.get("plain")


async def read_page(
    api: Api,
    descriptions: Descriptions,
    resource: Resource,
    fields: Sequence[str],
    cursor: Cursor,
) -> Page:
    """Return the next page of the cursor's job: none of its records while it is not done."""
    try:
        types = await descriptions.types(resource, fields)
        return await _Reading(api, resource, fields, types, cursor).go_on()
    except (AuthenticationError, MalformedResponseError):
        raise
    except PermanentError as error:
        # Failed, aborted, expired after seven days, or not allowed: without a job it goes on, too.
        return Page(records=[], cursor=_plain(cursor), more=True, trouble=error)


def _plain(cursor: Cursor) -> Cursor:
    return {**cursor, "job": None, "ceiling": None, "plain": True}


class _Reading:
    def __init__(
        self,
        api: Api,
        resource: Resource,
        fields: Sequence[str],
        types: Mapping[str, str],
        cursor: Cursor,
    ) -> None:
        self._api = api
        self._resource = resource
        self._fields = fields
        self._types = types
        self._cursor = cursor
        self._job: dict[str, Any] = dict(cursor["job"])
        self._operation = f"read many changed {resource.name}"

    async def go_on(self) -> Page:
        if any(self._types.get(name) in _COMPOUND for name in self._fields):
            return Page(records=[], cursor=_plain(self._cursor), more=True)  # no job tells those
        if self._job["id"] is None:
            return self._waiting(await self._make())
        if not self._job["is_done"]:
            id = self._job["id"]
            told = await bulk_job.state_of(self._api, "query", id, self._operation)
            if told["state"] in bulk_job.ENDED:
                raise bulk_job.ended_badly(told, id, self._operation, _ADVICE)
            if told["state"] != bulk_job.DONE:
                return self._waiting(id)
            self._job["is_done"] = True
        return await self._results()

    async def _make(self) -> str:
        told = soql.select(self._resource, self._fields)
        where = watermark.since(self._resource, self._cursor)
        query = soql.query(told, self._resource.path, where)
        reply = await self._api.request(
            "POST",
            f"{data_path(self._api)}/jobs/query",
            operation=self._operation,
            json={"operation": "queryAll", "query": query, **bulk_job.CSV},
            # A job that nobody asks after does no harm: it is one of 10,000 a day.
            repeatable=True,
            expects=("id",),
        )
        return str(reply.json["id"])

    def _waiting(self, id: str) -> Page:
        polls = self._job["polls"]
        cursor = {**self._cursor, "job": {**self._job, "id": id, "polls": polls + 1}}
        return Page(records=[], cursor=cursor, more=True, wait_s=bulk_job.wait_s(polls))

    async def _results(self) -> Page:
        locator = self._job["locator"]
        asked = {"maxRecords": str(self._most_rows())} | ({"locator": locator} if locator else {})
        reply = await self._api.request(
            "GET",
            f"{data_path(self._api)}/jobs/query/{self._job['id']}/results",
            operation=self._operation,
            query=asked,
            headers={"Accept": "text/csv"},
            repeatable=True,
        )
        count = reply.headers.get("sforce-numberofrecords", "")
        rows = [typed(row, self._types) for row in rows_in(reply.body, self._operation, count)]
        versions = watermark.versions(rows)
        fresh = watermark.fresh(rows, self._cursor, versions)
        following = reply.headers.get("sforce-locator", "null")
        more = following not in ("", "null")
        ceiling = self._cursor["ceiling"]
        cursor = {
            **self._cursor,
            "seen": watermark.seen(self._resource, self._cursor, versions, ceiling),
            "job": {**self._job, "locator": following} if more else None,
        }
        if not more:
            cursor |= {"watermark": ceiling, "ceiling": None}
        return Page(
            records=[record_of(self._resource, row, self._fields) for row in fresh],
            cursor=cursor,
            more=more,
        )

    def _most_rows(self) -> int:
        told = soql.select(self._resource, self._fields)
        cells = sum(_LONG_TEXT_CELLS if self._types.get(one) == "textarea" else 1 for one in told)
        return min(_MOST_ROWS, max(_CELLS // cells, 500))
