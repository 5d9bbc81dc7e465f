"""Salesforce's error formats, of whole calls and of single rows, and what its codes mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.connector_sdk.response import ApiResponse, ErrorDetail, plain_detail
from dovetail.connector_sdk.spec import ErrorRule
from dovetail.connectors.salesforce.value import long_id
from dovetail.errors import (
    AuthenticationError,
    ConnectorError,
    CursorExpiredError,
    PermissionDeniedError,
    PlatformUnavailableError,
    RateLimitedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
    TransientError,
)

_MEANINGS: dict[str, type[ConnectorError]] = {
    "INVALID_SESSION_ID": AuthenticationError,
    "INVALID_AUTH_HEADER": AuthenticationError,
    "INSUFFICIENT_ACCESS_OR_READONLY": PermissionDeniedError,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": PermissionDeniedError,
    "REQUEST_LIMIT_EXCEEDED": RateLimitedError,
    "UNABLE_TO_LOCK_ROW": TransientError,
    "QUERY_TIMEOUT": TransientError,
    "INVALID_QUERY_LOCATOR": CursorExpiredError,
    "DUPLICATE_VALUE": RecordConflictError,
    "DUPLICATES_DETECTED": RecordConflictError,
    "ENTITY_IS_DELETED": RecordNotFoundError,
    "NOT_FOUND": RecordNotFoundError,
    "INVALID_CROSS_REFERENCE_KEY": RecordNotFoundError,
    "MALFORMED_ID": RecordNotFoundError,
}
ERROR_RULES = (
    *(ErrorRule(kind, code=code) for code, kind in _MEANINGS.items()),
    # From the edge, before any server of the org has seen the call.
    ErrorRule(PlatformUnavailableError, status=406),
    ErrorRule(PlatformUnavailableError, status=420),
)

# No Retry-After is ever sent. Too many long calls at once pass soon; the quota of the org is a
# window of 24 hours that opens little by little.
_CONCURRENT_WAIT_S = 60.0
_DAILY_WAIT_S = 900.0

_EXISTING = re.compile(r"record with id: (\w{15,18})")
_COLUMN = re.compile(r"No such column '([^']+)'")


def usage(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """Return what was used of the org's day, and what there is of it."""
    for segment in headers.get("sforce-limit-info", "").split(";"):
        name, _, told = segment.strip().partition("=")
        used, _, most = told.partition("/")
        if name == "api-usage" and used.isdecimal() and most.isdecimal():
            return int(used), int(most)
    return None


def explain(response: ApiResponse) -> ErrorDetail:
    """Return what an error answer says: a list of errors, or the one object of OAuth."""
    body = response.json
    errors = [item for item in body if isinstance(item, dict)] if isinstance(body, list) else [body]
    first = errors[0] if errors else None
    if not isinstance(first, dict):
        return plain_detail(response)
    code, message = _code(first), _message(first)
    if not message:
        message = plain_detail(response).message
    is_limit = code == "REQUEST_LIMIT_EXCEEDED"
    wait = _CONCURRENT_WAIT_S if "concurrent" in message.lower() else _DAILY_WAIT_S
    return ErrorDetail(
        message=message,
        code=code,
        fields=_fields(errors) or None,
        existing_id=_existing_id(first),
        retry_after_s=wait if is_limit else None,
        # Bulk jobs have limits of their own; the calls of the rest go on.
        limit="daily" if is_limit and message.startswith("TotalRequests") else None,
    )


def row_error(
    errors: Sequence[Mapping[str, Any]], operation: str, *, is_create: bool
) -> ConnectorError:
    """Return the error of one row of a collection; the first of several names it."""
    first: Mapping[str, Any] = errors[0] if errors else {}
    code, message, fields = _code(first), _message(first), _fields(errors)
    kind = _MEANINGS.get(code or "", RecordInvalidError)
    if kind is RecordNotFoundError and (is_create or set(fields) - {"Id", "id"}):
        # It is not the row itself that is missing, but one that its values name.
        kind = RecordInvalidError
    facts: dict[str, Any] = {"platform": "salesforce", "operation": operation}
    if kind is RecordConflictError:
        facts["existing_id"] = _existing_id(first)
    elif kind is RecordInvalidError:
        facts["fields"] = fields or None
    elif kind is RateLimitedError:
        facts["retry_after_s"] = _DAILY_WAIT_S
    told = f"{code or 'no code'}, {message.rstrip(' .') or 'no explanation was given'}"
    return kind(
        f"Salesforce refused one record while it had to {operation}: {told}. "
        "The other records of the call are not concerned.",
        platform_code=code,
        **facts,
    )


def _code(error: Mapping[str, Any]) -> str | None:
    # Rows of collections say statusCode, everything else errorCode, OAuth error.
    code = error.get("errorCode") or error.get("statusCode") or error.get("error")
    return str(code) if code else None


def _message(error: Mapping[str, Any]) -> str:
    return str(error.get("message") or error.get("error_description") or "")


def _fields(errors: Sequence[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for error in errors:
        if not isinstance(error, Mapping):
            continue
        message = _message(error)
        column = _COLUMN.search(message)
        if _code(error) == "REQUIRED_FIELD_MISSING":
            message = f"Salesforce makes no record without it: map it or set a default ({message})"
        names = [*(error.get("fields") or []), *([column[1]] if column else [])]
        found |= {str(name): message for name in names}
    return found


def _existing_id(error: Mapping[str, Any]) -> str | None:
    named = _EXISTING.search(_message(error))
    if named:
        return long_id(named[1])
    # The first spelling is Salesforce's own, and not in all versions.
    found = error.get("duplicateResut") or error.get("duplicateResult") or {}
    ids = (
        (match.get("record") or {}).get("Id")
        for result in found.get("matchResults") or []
        for match in result.get("matchRecords") or []
    )
    return next((long_id(str(id)) for id in ids if id), None)
