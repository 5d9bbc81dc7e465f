"""HubSpot's error format, of whole calls and of single rows in a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

from dovetail.connector_sdk.response import ApiResponse, ErrorDetail, plain_detail
from dovetail.core import json
from dovetail.errors import (
    ConnectorError,
    PermanentError,
    PermissionDeniedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)

_LIMITS = {"DAILY": "daily", "TEN_SECONDLY_ROLLING": "burst", "SECONDLY": "search"}
_EXISTING = re.compile(r"Existing ID: (\d+)")
_ROW_ERRORS: dict[str, type[ConnectorError]] = {
    "CONFLICT": RecordConflictError,
    "OBJECT_NOT_FOUND": RecordNotFoundError,
    "VALIDATION_ERROR": RecordInvalidError,
    "MISSING_SCOPES": PermissionDeniedError,
}


def explain(response: ApiResponse) -> ErrorDetail:
    """Return what an error answer says; every part of HubSpot's format is optional."""
    if not isinstance(response.json, dict):
        return plain_detail(response)
    body = response.json
    message = str(body.get("message") or body.get("error_description") or "no explanation given")
    existing = _EXISTING.search(message)
    status = body.get("status")  # "error", except where OAuth puts its code there
    return ErrorDetail(
        message=message,
        code=body.get("category")
        or body.get("errorType")
        or (None if status == "error" else status),
        fields=_fields(body, message) or None,
        existing_id=existing[1] if existing else None,
        request_id=body.get("correlationId") or body.get("requestId"),
        retry_after_s=_wait(body.get("policyName"), response.received_at),
        limit=_LIMITS.get(body.get("policyName") or ""),
    )


def row_error(error: Mapping[str, Any], operation: str) -> ConnectorError:
    """Return the error of one row of a batch."""
    message = str(error.get("message") or "no explanation given")
    category = str(error.get("category") or "")
    existing = _EXISTING.search(message)
    kind = RecordConflictError if existing else _ROW_ERRORS.get(category, PermanentError)
    facts: dict[str, Any] = {"platform": "hubspot", "operation": operation}
    if kind is RecordConflictError:
        facts["existing_id"] = existing[1] if existing else None
    if kind is RecordInvalidError:
        facts["fields"] = _fields(error, message) or None
    return kind(
        f"HubSpot refused one record while it had to {operation}: {message.rstrip('.')}. "
        "The other records of the call are not concerned.",
        platform_code=category or None,
        **facts,
    )


def _fields(body: Mapping[str, Any], message: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in body.get("errors") or []:
        context = item.get("context") if isinstance(item, dict) else None
        for name in (context or {}).get("propertyName") or []:
            found[name] = str(item.get("message") or item.get("code") or "refused")
    # "Property values were not valid: [{…}]": JSON inside of the sentence.
    _, bracket, rest = message.partition("[{")
    if bracket:
        try:
            items = json.decode(bracket + rest[: rest.rfind("]") + 1])
        except ValueError:
            return found
        for item in items:
            if isinstance(item, dict) and item.get("name"):
                found[item["name"]] = str(item.get("message") or item.get("error"))
    return found


def numbers(headers: Mapping[str, str], names: Mapping[str, str]) -> dict[str, int]:
    """Return limit name -> the number in its header, of those that are there."""
    told = {limit: headers.get(header, "") for limit, header in names.items()}
    return {limit: int(text) for limit, text in told.items() if text.isdecimal()}


def _wait(policy: str | None, now: datetime) -> float | None:
    if policy == "DAILY":
        # The account's own midnight is not told; UTC's is asked for again where that is early.
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), now.tzinfo)
        return (midnight - now).total_seconds()
    return {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0}.get(policy or "")
