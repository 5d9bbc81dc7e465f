"""Ids that changed or were deleted in a window of time."""

from __future__ import annotations

from datetime import datetime, timedelta

from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.rest.call import Api, Call, Operation, Reply
from dovetail.simulators.salesforce.rest.query import lag_s
from dovetail.simulators.salesforce.sobject import Row

MAX_IDS = 600_000

_UPDATED_REACH = timedelta(days=30)
_DELETED_REACH = timedelta(days=15)


def updated(api: Api, call: Call) -> Reply:
    """Return the ids of living rows whose SystemModstamp is in the window."""
    start, end = _window(api, call, _UPDATED_REACH)
    rows, covered = _changed(api, call, start, end)
    ids = [row["Id"] for row in rows if not row["IsDeleted"]]
    return Reply(200, {"ids": ids, "latestDateCovered": moment.to_text(covered)})


def deleted(api: Api, call: Call) -> Reply:
    """Return the rows that went to the bin in the window."""
    start, end = _window(api, call, _DELETED_REACH)
    rows, covered = _changed(api, call, start, end)
    records = [
        {"id": row["Id"], "deletedDate": row["SystemModstamp"]} for row in rows if row["IsDeleted"]
    ]
    earliest = moment.floor_minute(api.org.now() - _DELETED_REACH)
    return Reply(
        200,
        {
            "deletedRecords": records,
            "earliestDateAvailable": moment.to_text(earliest),
            "latestDateCovered": moment.to_text(covered),
        },
    )


def _window(api: Api, call: Call, reach: timedelta) -> tuple[datetime, datetime]:
    start, end = _instant(call, "start"), _instant(call, "end")
    if end <= start:
        raise _bad_date("endDate must be at least one minute greater than startDate")
    if start < moment.floor_minute(api.org.now() - reach):
        raise _bad_date(f"startDate cannot be more than {reach.days} days ago")
    return start, end


def _instant(call: Call, name: str) -> datetime:
    text = call.query.get(name)
    if text is None:
        raise SalesforceError(400, "MISSING_ARGUMENT", f"missing required parameter: {name}")
    instant = moment.parse_datetime(text)
    if instant is None:
        raise SalesforceError(400, "INVALID_FIELD", f"{name}: '{text}' is not a valid dateTime")
    return moment.floor_minute(instant)


def _changed(api: Api, call: Call, start: datetime, end: datetime) -> tuple[list[Row], datetime]:
    sobject = api.org.sobject(call.params["object"])
    if not sobject.is_writable:
        raise SalesforceError(400, "INVALID_TYPE", f"{sobject.name} is not replicateable")
    now, behind_s = api.org.now(), lag_s(api, call)
    index = api.org.table(sobject).visible(now, behind_s)
    # The end is outside the window, so it ends with the second before.
    last = moment.to_text(end - timedelta(seconds=1))
    rows = list(index.between(moment.to_text(start), last))
    if len(rows) > MAX_IDS:
        raise SalesforceError(400, "EXCEEDED_ID_LIMIT", f"too many ids: more than {MAX_IDS}")
    # What is still being committed is not covered yet.
    return rows, max(min(end, now - timedelta(seconds=behind_s)), start)


def _bad_date(message: str) -> SalesforceError:
    return SalesforceError(400, "INVALID_REPLICATION_DATE", message)


OPERATIONS = (
    Operation("GET", "/sobjects/{object}/updated", updated),
    Operation("GET", "/sobjects/{object}/deleted", deleted),
)
