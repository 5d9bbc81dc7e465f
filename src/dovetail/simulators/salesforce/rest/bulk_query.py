"""``/jobs/query``: a query whose rows are read later, as CSV, page by page."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dovetail.simulators.salesforce.bulk.job import ABORTED, DONE, FINISHED, Extract
from dovetail.simulators.salesforce.refusal import SalesforceError, not_found
from dovetail.simulators.salesforce.rest.bulk_ingest import bad_state, layout_of
from dovetail.simulators.salesforce.rest.call import Api, Call, Operation, Reply
from dovetail.simulators.salesforce.soql.plan import Plan, plan

DEFAULT_PAGE = 50_000
LAST = "null"
"""What the locator says when there is no further page."""

_ONE = "/jobs/query/{job}"


def create(api: Api, call: Call) -> Reply:
    """Take a query; there is nothing to upload, so the job begins by itself."""
    body = call.json()
    operation = body.get("operation")
    if operation not in ("query", "queryAll"):
        raise SalesforceError(400, "INVALIDJOB", f"Unsupported operation: {operation}")
    layout = layout_of(body)
    planned = plan(str(body.get("query") or ""), api.org.catalog, api.org.lookup)
    columns = _columns(planned)
    if not api.count_query_job():
        raise SalesforceError(403, "REQUEST_LIMIT_EXCEEDED", "DailyBulkV2QueryJobs exceeded.")
    facts = api.jobs.new_facts(operation, planned.sobject.name, call.version)
    job = Extract(**facts, **layout, plan=planned, columns=columns)
    api.jobs.query[job.id] = job
    api.jobs.close(job)
    return Reply(200, job.to_record())


def read(api: Api, call: Call) -> Reply:
    """Return a job with its count."""
    return Reply(200, _found(api, call).details())


def list_(api: Api, _call: Call) -> Reply:
    """Return all jobs."""
    records = [job.to_record() for job in api.jobs.query.values()]
    return Reply(200, {"done": True, "nextRecordsUrl": None, "records": records})


def change(api: Api, call: Call) -> Reply:
    """Abort a job."""
    job = _found(api, call)
    if call.json().get("state") != ABORTED:
        raise SalesforceError(400, "INVALIDJOB", f"state must be {ABORTED}")
    if job.state in FINISHED:
        raise bad_state(f"Aborting is not possible: the job is {job.state}")
    api.jobs.abort(job)
    return Reply(200, job.to_record())


def delete(api: Api, call: Call) -> Reply:
    """Forget a job that is over."""
    job = _found(api, call)
    if job.state not in FINISHED:
        raise bad_state(f"A job that is {job.state} cannot be deleted")
    del api.jobs.query[job.id]
    return Reply(204)


def results(api: Api, call: Call) -> Reply:
    """Return a page of rows and where the next one is."""
    job = _found(api, call)
    if job.state != DONE:
        raise bad_state(f"The job has no results while it is {job.state}")
    most = call.query.get("maxRecords", str(DEFAULT_PAGE))
    if not most.isdecimal() or not 0 < len(most) < 10 or int(most) < 1:
        raise SalesforceError(400, "INVALID_INPUT", f"maxRecords is no number of rows: {most}")
    start = _offset(job, call.query.get("locator"))
    stop = min(start + int(most), len(job.rows))
    headers = {
        "Sforce-NumberOfRecords": str(stop - start),
        "Sforce-Locator": LAST if stop >= len(job.rows) else _locator(stop),
    }
    return Reply(200, csv=job.page(start, stop), headers=headers)


def _found(api: Api, call: Call) -> Extract:
    job = api.jobs.query.get(call.params["job"])
    if job is None:
        raise not_found()
    if job.version != call.version:
        raise SalesforceError(409, "CONFLICT", f"The job was created with API {job.version}")
    return job


def _columns(planned: Plan) -> list[str]:
    if planned.is_count:
        raise _unsupported("Aggregate queries")
    if any(column.field.type == "address" for column in planned.columns):
        raise _unsupported("Selecting compound data")
    if planned.children:
        raise _unsupported("Nested queries")
    return [
        ".".join([*(str(step.relationship) for step in column.steps), column.field.name])
        for column in planned.columns
    ]


def _unsupported(what: str) -> SalesforceError:
    return SalesforceError(400, "INVALID_FIELD", f"{what} not supported in Bulk Query")


def _locator(offset: int) -> str:
    return base64.urlsafe_b64encode(f"M{offset}".encode()).decode()


def _offset(job: Extract, locator: str | None) -> int:
    if locator is None or locator == "":
        return 0
    try:
        text = base64.urlsafe_b64decode(locator).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        text = ""
    offset: Any = text.removeprefix("M")
    if not text.startswith("M") or not offset.isdecimal() or int(offset) >= len(job.rows):
        raise SalesforceError(400, "INVALID_QUERY_LOCATOR", f"invalid locator: {locator}")
    return int(offset)


OPERATIONS = (
    Operation("POST", "/jobs/query", create),
    Operation("GET", "/jobs/query", list_),
    Operation("GET", _ONE, read),
    Operation("PATCH", _ONE, change),
    Operation("DELETE", _ONE, delete),
    Operation("GET", _ONE + "/results", results),
)
