"""What there is: the resources of a version, the org's objects and limits."""

from __future__ import annotations

from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.rest.call import (
    Api,
    Call,
    Operation,
    Reply,
    is_unmodified_since,
)

_RESOURCES = ("sobjects", "query", "queryAll", "limits", "composite", "jobs")


def resources(_api: Api, call: Call) -> Reply:
    """Return where the resources of a version are."""
    return Reply(200, {name: f"{call.base_path}/{name}" for name in _RESOURCES})


def limits(api: Api, _call: Call) -> Reply:
    """Return the limits of the org and what is left of them."""
    shown = {
        name: {"Max": allowed, "Remaining": remaining}
        for name, (allowed, remaining) in api.limits().items()
    }
    return Reply(200, shown)


def objects(api: Api, call: Call) -> Reply:
    """Return the list of objects."""
    listed = [item.describe_summary(call.base_path) for item in api.org.catalog.values()]
    return Reply(200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})


def object_summary(api: Api, call: Call) -> Reply:
    """Return one object and its latest rows."""
    sobject = api.org.sobject(call.params["object"])
    summary = sobject.describe_summary(call.base_path)
    return Reply(200, {"objectDescribe": summary, "recentItems": []})


def describe(api: Api, call: Call) -> Reply:
    """Return the whole description of an object, unless it is as old as the caller's copy."""
    sobject = api.org.sobject(call.params["object"])
    changed_at = api.org.founded_at
    headers = {"Last-Modified": moment.to_http(changed_at)}
    if is_unmodified_since(call, "if-modified-since", changed_at):
        return Reply(304, headers=headers)
    return Reply(200, sobject.describe(call.base_path, api.org.catalog), headers)


OPERATIONS = (
    Operation("GET", "", resources),
    Operation("GET", "/limits", limits),
    Operation("GET", "/sobjects", objects),
    Operation("GET", "/sobjects/{object}", object_summary),
    Operation("GET", "/sobjects/{object}/describe", describe),
)
