"""Between HTTP and the API: requests as calls, replies and refusals as answers."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.fault import Fault, FaultPlan
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.rest.call import Call, Operation, Reply
from dovetail.simulators.salesforce.session import OAuthError

INVALID_SESSION = SalesforceError(401, "INVALID_SESSION_ID", "Session expired or invalid")
LIMIT_EXCEEDED = SalesforceError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

_TOKEN_FAULTS = {
    "expired_token": OAuthError("invalid_grant", "expired access/refresh token"),
    "rate_limit": OAuthError("rate_limit_exceeded", "login rate exceeded"),
}
_UNAVAILABLE = SalesforceError(
    503, "SERVER_UNAVAILABLE", "We are down for maintenance. Sorry for the inconvenience."
)
_UNEXPECTED = SalesforceError(
    500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please try again later."
)


async def call_of(
    request: Request, operation: Operation, faults: FaultPlan, count: Callable[[], bool]
) -> Call:
    """
    Return what a request asks an operation for.

    Raises:
        SalesforceError: Its body is of another kind than the operation takes (415).
    """
    body = await request.body()
    content_type = request.headers.get("content-type", "")
    if body and not content_type.lower().startswith(operation.takes):
        message = f"Content-Type header specified in HTTP request is not supported: {content_type}"
        raise SalesforceError(415, "UNSUPPORTED_MEDIA_TYPE", message)
    params = dict(request.path_params)
    return Call(
        method=request.method,
        version=params.pop("version"),
        params=params,
        query=dict(request.query_params),
        headers=dict(request.headers),
        body=body,
        strike=lambda kind: faults.take(kind, path=request.url.path, method=request.method),
        count=count,
    )


def answer_of(reply: Reply) -> Response:
    """Return a reply as HTTP."""
    headers = dict(reply.headers)
    if reply.csv is not None:
        media_type = headers.pop("Content-Type", "text/csv;charset=UTF-8")
        return Response(reply.csv, reply.status, headers, media_type)
    if reply.body is None:
        return Response(status_code=reply.status, headers=headers)
    return json_response(reply.body, reply.status, headers)


def refusal_of(error: SalesforceError) -> Response:
    """Return the list that the platform's errors are."""
    return json_response(error.to_body(), error.status)


def outage_of(fault: Fault, *, at_login: bool) -> Response:
    """Return how the platform says that it cannot serve; the login host has its own words."""
    if at_login and fault.kind in _TOKEN_FAULTS:
        return json_response(_TOKEN_FAULTS[fault.kind].body, 400)
    if fault.kind == "expired_token":
        return refusal_of(INVALID_SESSION)
    if fault.kind == "rate_limit":
        return refusal_of(LIMIT_EXCEEDED)
    status = fault.status or 503
    if status == 500:
        return refusal_of(_UNEXPECTED)
    if status == 503:
        return refusal_of(_UNAVAILABLE)
    if status < 500:
        # The edge in front of the platform refuses without a word.
        return Response(status_code=status)
    return Response("<html><body>Bad gateway</body></html>", status, media_type="text/html")
