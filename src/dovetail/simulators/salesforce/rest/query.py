"""Queries and their further pages."""

from __future__ import annotations

import re

from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.rest.call import Api, Call, Operation, Reply
from dovetail.simulators.salesforce.rest.cursor import MAX_PAGE, MIN_PAGE
from dovetail.simulators.salesforce.sobject import SObject
from dovetail.simulators.salesforce.soql.plan import plan
from dovetail.simulators.salesforce.table import RowIndex

_BATCH_SIZE = re.compile(r"\bbatchSize\s*=\s*(\d{1,9})\b", re.IGNORECASE)


def query(api: Api, call: Call) -> Reply:
    """Run a query over the rows that are not in the bin."""
    return _run(api, call, with_deleted=False)


def query_all(api: Api, call: Call) -> Reply:
    """Run a query over all rows, those in the bin included."""
    return _run(api, call, with_deleted=True)


def next_page(api: Api, call: Call) -> Reply:
    """Return the page that a locator stands for."""
    cursor, offset = api.cursors.find(call.params["locator"])
    return Reply(200, cursor.page(offset, call.base_path))


def lag_s(api: Api, call: Call) -> float:
    """Return how far queries are behind writes, with the fault that delays them."""
    fault = call.strike("consistency_lag")
    return api.commit_lag_s if fault is None else max(api.commit_lag_s, fault.length_s)


def _run(api: Api, call: Call, *, with_deleted: bool) -> Reply:
    soql = call.query.get("q", "")
    if not soql.strip():
        raise SalesforceError(400, "MALFORMED_QUERY", "A query string has to be specified")
    planned = plan(soql, api.org.catalog, api.org.lookup)
    now, behind_s = api.org.now(), lag_s(api, call)

    def index_of(sobject: SObject) -> RowIndex:
        return api.org.table(sobject).visible(now, behind_s)

    rows = planned.run(index_of(planned.sobject), with_deleted=with_deleted)
    if planned.is_count:
        return Reply(200, {"totalSize": len(rows), "done": True, "records": []})
    show = planned.projection(call.base_path, index_of, with_deleted=with_deleted)
    cursor = api.cursors.open(rows, show, _page_size(call))
    return Reply(200, cursor.page(0, call.base_path))


def _page_size(call: Call) -> int:
    match = _BATCH_SIZE.search(call.headers.get("sforce-query-options", ""))
    return MAX_PAGE if match is None else min(max(int(match[1]), MIN_PAGE), MAX_PAGE)


OPERATIONS = (
    Operation("GET", "/query", query),
    Operation("GET", "/queryAll", query_all),
    Operation("GET", "/query/{locator}", next_page),
    Operation("GET", "/queryAll/{locator}", next_page),
)
