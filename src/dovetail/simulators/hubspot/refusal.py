"""How HubSpot says no: one error body, everything in it optional but the message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.core import json
from dovetail.simulator_sdk.refusal import RefusedError


def invalid(message: str, *, field: str | None = None, **facts: Any) -> RefusedError:
    """Return a 400 VALIDATION_ERROR."""
    return RefusedError(message, code="VALIDATION_ERROR", field=field, **facts)


def not_found(message: str = "resource not found") -> RefusedError:
    """Return a 404; HubSpot gives it no category."""
    return RefusedError(message, status=404)


def conflict(message: str) -> RefusedError:
    """Return a 409 CONFLICT."""
    return RefusedError(message, status=409, code="CONFLICT")


def invalid_properties(problems: Sequence[tuple[str, str, str]]) -> RefusedError:
    """
    Return the 400 for property values, which has JSON inside its message.

    Args:
        problems: Property name, error code and message of each.
    """
    listed = [
        {
            "isValid": False,
            "message": message,
            "error": code,
            "name": name,
            "localizedErrorMessage": message,
        }
        for name, code, message in problems
    ]
    return invalid(
        f"Property values were not valid: {json.encode_text(listed)}", field=problems[0][0]
    )


def body_of(error: RefusedError, *, correlation_id: str) -> dict[str, Any]:
    """Return the JSON body of an error."""
    body: dict[str, Any] = {
        "status": error.facts.get("status_text", "error"),
        "message": error.message,
        "correlationId": correlation_id,
    }
    if error.code is not None:
        body["category"] = error.code
    extra: Mapping[str, Any] = error.facts
    body.update({name: value for name, value in extra.items() if name != "status_text"})
    return body


def row_error(error: RefusedError, context: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return one entry of `errors` in a 207."""
    return {
        "status": "error",
        "category": error.code or "OBJECT_NOT_FOUND",
        "message": error.message,
        "context": dict(context),
    }


def missing_objects(singular: str, ids: Sequence[str]) -> dict[str, Any]:
    """Return the entry of `errors` that names what a batch read did not find."""
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": (
            f"Could not get some {singular.upper()} objects, they may be deleted or not exist. "
            "Check that ids are valid."
        ),
        "context": {"ids": list(ids)},
    }


def missing_object(singular: str, id: str) -> RefusedError:
    """Return the 404 for a record that a batch write names and that does not exist."""
    entry = missing_objects(singular, [id])
    return RefusedError(
        entry["message"], status=404, code="OBJECT_NOT_FOUND", context=entry["context"]
    )
