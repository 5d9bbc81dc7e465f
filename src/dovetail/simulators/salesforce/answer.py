"""Replies and refusals as HTTP answers, those of an outage too."""

from __future__ import annotations

from starlette.responses import Response

from dovetail.simulator_sdk.base import json_response
from dovetail.simulator_sdk.fault import Fault
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.rest.call import Reply
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
