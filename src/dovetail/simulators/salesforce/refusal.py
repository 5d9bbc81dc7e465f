"""What Salesforce says when it refuses: one error, written in the shape each endpoint uses."""

from __future__ import annotations

from typing import Any

from dovetail.simulator_sdk.refusal import RefusedError


class SalesforceError(RefusedError):
    """
    One error of the platform.

    Attributes:
        status: HTTP status when the refusal answers a whole call.
        code: The vendor's code, as ``REQUIRED_FIELD_MISSING``.
        message: The vendor's sentence.
        fields: API names of the fields at fault; None where the platform leaves the key out.
    """

    def __init__(
        self, status: int, code: str, message: str, fields: tuple[str, ...] | None = None
    ) -> None:
        super().__init__(message, status=status, code=code, field=fields[0] if fields else None)
        self.fields = fields

    def to_body(self) -> list[dict[str, Any]]:
        """Return the error list that answers a whole call."""
        error: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            error["fields"] = list(self.fields)
        return [error]

    def to_row_error(self) -> dict[str, Any]:
        """Return the error of one row of a collection, where the key is ``statusCode``."""
        return {
            "statusCode": self.code,
            "message": self.message,
            "fields": list(self.fields or ()),
        }


def not_found(message: str = "The requested resource does not exist") -> SalesforceError:
    """Return the 404 of a missing row or path."""
    return SalesforceError(404, "NOT_FOUND", message)


def entity_is_deleted() -> SalesforceError:
    """Return the 404 of a write to a row in the bin."""
    return SalesforceError(404, "ENTITY_IS_DELETED", "entity is deleted", ())


def json_error(message: str) -> SalesforceError:
    """Return the 400 of a body that cannot be read."""
    return SalesforceError(400, "JSON_PARSER_ERROR", message)
