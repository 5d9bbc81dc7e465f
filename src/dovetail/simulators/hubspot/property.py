"""HubSpot properties: what is defined, which values are valid, and how they are stored."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

LIFECYCLE_STAGES = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
)

_EMAIL = re.compile(r"[^@\s,;<>()\[\]\"]+@[^@\s.,;]+(\.[^@\s.,;]+)+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MILLIS = re.compile(r"-?\d{1,15}")


@dataclass(slots=True)
class Property:
    """One property definition, with what the properties API shows of it."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    group: str = ""
    description: str = ""
    options: list[dict[str, Any]] = field(default_factory=list)
    unique: bool = False
    read_only: bool = False
    native: bool = True
    archived: bool = False
    created_at: str | None = None
    updated_at: str | None = None

    def to_record(self) -> dict[str, Any]:
        """Return the definition as the properties API shows it."""
        shown: dict[str, Any] = {
            "name": self.name,
            "label": self.label,
            "type": self.type,
            "fieldType": self.field_type,
            "description": self.description,
            "groupName": self.group,
            "options": self.options,
            "displayOrder": -1,
            "calculated": False,
            "externalOptions": self.name == "hubspot_owner_id",
            "archived": self.archived,
            "hasUniqueValue": self.unique,
            "hidden": False,
            "hubspotDefined": self.native,
            "formField": not self.read_only,
            "modificationMetadata": {
                "archivable": not self.native,
                "readOnlyDefinition": self.native,
                "readOnlyValue": self.read_only,
            },
        }
        if self.created_at is not None:
            shown["createdAt"] = self.created_at
            shown["updatedAt"] = self.updated_at or self.created_at
        return shown


class InvalidValueError(Exception):
    """A value that the property does not take, with HubSpot's code for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def stored_value(definition: Property, value: str, *, before: str | None) -> str | None:
    """
    Return the value as HubSpot stores it; None clears.

    Args:
        definition: The property.
        value: As sent; numbers and bools already as text.
        before: The present value, for multi-selects that append.

    Raises:
        InvalidValueError: The property does not take it.
    """
    if value == "":
        return None
    normalise = _NORMALISERS.get(definition.type)
    if definition.name == "email":
        return _email(value)
    if definition.field_type == "checkbox" and definition.type == "enumeration":
        return _choices(definition, value, before)
    return value if normalise is None else normalise(definition, value)


def later_stage(before: str | None, value: str | None) -> str | None:
    """Return which lifecycle stage holds after a write: it only moves forward, or to nothing."""
    if before is None or value is None:
        return value
    known = LIFECYCLE_STAGES
    if before in known and value in known and known.index(value) < known.index(before):
        return before
    return value


def to_millis(value: str) -> int | None:
    """Return a date, datetime or text of milliseconds as epoch milliseconds; None if neither."""
    if _MILLIS.fullmatch(value):
        return int(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def iso(moment: datetime) -> str:
    """Return a moment as HubSpot writes it: UTC, milliseconds, ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _email(value: str) -> str:
    address = value.strip().lower()
    if len(address) > 254 or not _EMAIL.fullmatch(address):
        raise InvalidValueError("INVALID_EMAIL", f"Email address {value} is invalid")
    return address


def _number(definition: Property, value: str) -> str:
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise InvalidValueError("INVALID_INTEGER", f"{value} was not a valid number.")
    return value.strip()


def _bool(definition: Property, value: str) -> str:
    if value.lower() not in ("true", "false"):
        raise _not_an_option(definition, value, ["true", "false"])
    return value.lower()


def _choice(definition: Property, value: str) -> str:
    allowed = [option["value"] for option in definition.options]
    if allowed and value not in allowed:
        raise _not_an_option(definition, value, allowed)
    return value


def _choices(definition: Property, value: str, before: str | None) -> str:
    chosen = [part for part in value.split(";") if part]
    for part in chosen:
        _choice(definition, part)
    if value.startswith(";") and before:
        chosen = [*before.split(";"), *chosen]
    return ";".join(dict.fromkeys(chosen))


def _date(definition: Property, value: str) -> str:
    millis = to_millis(value) if _MILLIS.fullmatch(value) or _DATE.fullmatch(value) else None
    if millis is None or millis % 86_400_000:
        raise InvalidValueError(
            "INVALID_DATE", f"{value} is not a date at midnight UTC for {definition.name}."
        )
    return datetime.fromtimestamp(millis / 1000, UTC).date().isoformat()


def _datetime(definition: Property, value: str) -> str:
    millis = to_millis(value)
    if millis is None:
        raise InvalidValueError(
            "INVALID_DATE", f"{value} was not a valid date for {definition.name}."
        )
    return iso(datetime.fromtimestamp(millis / 1000, UTC))


def _not_an_option(definition: Property, value: str, allowed: list[str]) -> InvalidValueError:
    listed = ", ".join(allowed)
    return InvalidValueError(
        "INVALID_OPTION",
        f"{value} was not one of the allowed options: [{listed}] for {definition.name}",
    )


_NORMALISERS = {
    "number": _number,
    "bool": _bool,
    "enumeration": _choice,
    "date": _date,
    "datetime": _datetime,
}
