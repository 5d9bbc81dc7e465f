"""``/jobs/ingest``: open a job, give it its content, let it begin, read what became of the rows."""

from __future__ import annotations

from typing import Any

from dovetail.simulators.salesforce.bulk.job import ABORTED, CLOSED, FINISHED, OPEN, Ingest
from dovetail.simulators.salesforce.bulk.sheet import DELIMITERS, LINE_ENDINGS
from dovetail.simulators.salesforce.refusal import SalesforceError, not_found
from dovetail.simulators.salesforce.rest.call import CSV, Api, Call, Operation, Reply
from dovetail.simulators.salesforce.sobject import SObject

MAX_CONTENT_BYTES = 100 * 1024 * 1024
_OPERATIONS = frozenset({"insert", "update", "upsert", "delete", "hardDelete"})
_ONE = "/jobs/ingest/{job}"


def create(api: Api, call: Call) -> Reply:
    """Open a job."""
    body = call.json()
    sobject = api.org.catalog.get(str(body.get("object", "")).lower())
    if sobject is None or not sobject.is_writable:
        raise _bad_job(f"Unsupported object: {body.get('object')}")
    operation = body.get("operation")
    if operation not in _OPERATIONS:
        raise _bad_job(f"Unsupported operation: {operation}")
    key = _key_of(sobject, body) if operation == "upsert" else None
    job = Ingest(
        **api.jobs.new_facts(operation, sobject.name, call.version),
        **layout_of(body),
        key_field=key,
    )
    api.jobs.ingest[job.id] = job
    return Reply(200, job.to_record())


def upload(api: Api, call: Call) -> Reply:
    """Take the content, once."""
    job = _found(api, call)
    if job.state != OPEN:
        raise bad_state(f"The job is not open for uploads: it is {job.state}")
    if job.content is not None:
        raise _bad_job(f"Found multiple contents for job: {job.id}; a job takes one upload")
    if len(call.body) > MAX_CONTENT_BYTES:
        raise _bad_job(f"The content exceeds {MAX_CONTENT_BYTES} bytes")
    try:
        job.content = call.body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise _bad_job("The content is not UTF-8") from exc
    return Reply(201)


def change(api: Api, call: Call) -> Reply:
    """Let the job begin, or abort it."""
    job = _found(api, call)
    state = call.json().get("state")
    if state not in (CLOSED, ABORTED):
        raise _bad_job(f"state must be {CLOSED} or {ABORTED}")
    if job.state in FINISHED or (state == CLOSED and job.state != OPEN):
        raise bad_state(f"Aborting or closing is not possible: the job is {job.state}")
    if state == ABORTED:
        api.jobs.abort(job)
    elif job.content is None:
        raise bad_state("The job has no content yet")
    else:
        api.jobs.close(job)
    return Reply(200, job.to_record())


def read(api: Api, call: Call) -> Reply:
    """Return a job with its counts."""
    return Reply(200, _found(api, call).details())


def list_(api: Api, _call: Call) -> Reply:
    """Return all jobs."""
    records = [job.to_record() for job in api.jobs.ingest.values()]
    return Reply(200, {"done": True, "nextRecordsUrl": None, "records": records})


def delete(api: Api, call: Call) -> Reply:
    """Forget a job that is over."""
    job = _found(api, call)
    if job.state not in FINISHED:
        raise bad_state(f"A job that is {job.state} cannot be deleted")
    del api.jobs.ingest[job.id]
    return Reply(204)


def successful(api: Api, call: Call) -> Reply:
    """Return the rows that were written."""
    return Reply(200, csv=_finished(api, call).successful())


def failed(api: Api, call: Call) -> Reply:
    """Return the rows that were refused."""
    return Reply(200, csv=_finished(api, call).failed())


def unprocessed(api: Api, call: Call) -> Reply:
    """Return the rows that the job did not come to."""
    return Reply(200, csv=_finished(api, call).untouched())


def layout_of(body: dict[str, Any]) -> dict[str, Any]:
    """
    Return how the CSV of a job is written.

    Raises:
        SalesforceError: Something that the platform does not know.
    """
    delimiter, ending = body.get("columnDelimiter", "COMMA"), body.get("lineEnding", "LF")
    if delimiter not in DELIMITERS or ending not in LINE_ENDINGS:
        raise _bad_job(f"Unsupported columnDelimiter or lineEnding: {delimiter}, {ending}")
    if body.get("contentType", "CSV") != "CSV":
        raise _bad_job(f"Unsupported contentType: {body['contentType']}")
    return {"delimiter": delimiter, "line_ending": ending}


def bad_state(message: str) -> SalesforceError:
    """Return the 400 of a step that a job cannot take now."""
    return SalesforceError(400, "INVALIDJOBSTATE", message)


def _bad_job(message: str) -> SalesforceError:
    return SalesforceError(400, "INVALIDJOB", message)


def _key_of(sobject: SObject, body: dict[str, Any]) -> str:
    field = sobject.find(str(body.get("externalIdFieldName") or ""))
    if field is None or (field.name != "Id" and field not in sobject.key_fields):
        raise _bad_job(f"InvalidExternalIdField: {body.get('externalIdFieldName')}")
    return field.name


def _found(api: Api, call: Call) -> Ingest:
    job = api.jobs.ingest.get(call.params["job"])
    if job is None:
        raise not_found()
    return job


def _finished(api: Api, call: Call) -> Ingest:
    job = _found(api, call)
    if job.state not in FINISHED:
        raise bad_state(f"The job has no results while it is {job.state}")
    return job


OPERATIONS = (
    Operation("POST", "/jobs/ingest", create),
    Operation("GET", "/jobs/ingest", list_),
    Operation("GET", _ONE, read),
    Operation("PATCH", _ONE, change),
    Operation("DELETE", _ONE, delete),
    Operation("PUT", _ONE + "/batches", upload, takes=CSV),
    Operation("GET", _ONE + "/successfulResults", successful),
    Operation("GET", _ONE + "/failedResults", failed),
    Operation("GET", _ONE + "/unprocessedrecords", unprocessed),
    Operation("GET", _ONE + "/unprocessedRecords", unprocessed),
)
