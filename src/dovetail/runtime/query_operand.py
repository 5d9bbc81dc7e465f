"""The values that a query compares with: checked against their field, in their stored form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, cast

import msgspec

from dovetail.core.clock import to_micros
from dovetail.errors import UsageError
from dovetail.runtime.record_document import check_value, format_moment, read_decimal
from dovetail.runtime.record_field import Kind, RecordField

ValueKind = Literal["text", "number", "boolean", "decimal"]
Scalar = str | int | float | bool | Decimal

_TYPES: dict[str, Any] = {
    "text": str,
    "number": int | float,
    "boolean": bool,
    "decimal": Decimal,
    "datetime": datetime,
    "date": date,
    "list": list[Any],
    "object": dict[str, Any],
}


@dataclass(frozen=True, slots=True)
class Operand:
    """A value to compare with, and how it compares; `kind` is None for null."""

    kind: ValueKind | None
    value: Scalar | None


def value_as(value: Any, kind: ValueKind) -> Scalar | None:
    """Return a record's value as a kind of value, or None when it is not of that kind."""
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "text":
        return _text(value)
    if isinstance(value, bool):
        return None
    if kind == "decimal":
        return read_decimal(value)
    return value if isinstance(value, int | float) else None


def read_operand(field: RecordField, value: Any) -> Operand:
    """
    Return the operand of a value that a field is compared with.

    Raises:
        UsageError: It does not fit the field; names the field, what is expected and what was given.
    """
    return _typed_operand(field, field.kind, value)


def read_item(field: RecordField, value: Any) -> Operand:
    """
    Return the operand of a value that a text or list is searched for.

    Raises:
        UsageError: The field cannot hold it.
    """
    kind = field.item_kind if field.kind == "list" else field.kind
    operand = _typed_operand(field, kind, value)
    if operand.kind == "decimal" or kind in {"list", "object"}:
        raise UsageError(
            f"{field}: 'contains' cannot look for {value!r}; it looks for text, whole numbers, "
            "booleans and moments."
        )
    return operand


def _typed_operand(field: RecordField, kind: Kind, value: Any) -> Operand:
    if value is None:
        return Operand(None, None)
    if kind == "any":
        return _free_operand(field, value)
    # Any number may be compared with a field of whole numbers; items have a type of their own.
    if kind == "number" or kind != field.kind:
        field = replace(field, kind=kind, type=_TYPES[kind])
    checked = check_value(field, value)
    if field.is_system and isinstance(checked, datetime):
        return Operand("number", to_micros(checked))
    if kind in {"number", "boolean", "decimal"}:
        return Operand(cast(ValueKind, kind), checked)
    return _text_operand(field, _text(checked))


def _free_operand(field: RecordField, value: Any) -> Operand:
    if isinstance(value, bool):
        return Operand("boolean", value)
    if isinstance(value, Decimal):
        check_value(field, value)
        return Operand("decimal", value)
    if isinstance(value, int | float):
        check_value(field, value)
        return Operand("number", value)
    text = _text(value)
    if text is None:
        raise UsageError(
            f"{field} cannot be compared with {type(value).__name__} {value!r}; use text, a "
            "number, a boolean, a moment or None."
        )
    return _text_operand(field, text)


def _text_operand(field: RecordField, text: str | None) -> Operand:
    if text is not None and not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{field} was compared with {text!r}, which holds half of a surrogate pair."
            ) from error
    return Operand("text", text)


def _text(value: Any) -> str | None:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return format_moment(value, "a record")
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | Decimal | list | dict):
        return None
    try:
        built = msgspec.to_builtins(value)  # a UUID or a time of day
    except TypeError:
        return None
    return built if isinstance(built, str) else None
