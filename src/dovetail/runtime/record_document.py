"""
Records as JSON documents, and back.

Moments are RFC 3339 in UTC with six fractional digits, so that the order of the texts is the order
of the moments; Decimals are strings, so that nothing passes through a float.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from dovetail.core import json
from dovetail.core.clock import from_micros, to_micros
from dovetail.errors import DeclarationError, UsageError
from dovetail.model.entity import Entity, wire_name
from dovetail.runtime.record_field import RecordField, record_fields, stored_fields, unknown_field

E = TypeVar("E", bound=Entity)

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class StoredRecord(NamedTuple):
    """A row of the records table; moments are microseconds."""

    entity: str
    business_id: str
    id: str
    version: int
    created_at: int
    updated_at: int
    data: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The primary key."""
        return (self.entity, self.business_id, self.id)


@lru_cache(maxsize=1024)
def entity_name(entity: type[Entity]) -> str:
    """Return the wire name, remembered: it is asked for with every statement."""
    return wire_name(entity)


def store_record(
    record: Entity, *, version: int, created_at: datetime, updated_at: datetime
) -> StoredRecord:
    """
    Return the row of a record.

    Raises:
        UsageError: A value cannot be kept as it is; names the field.
    """
    return StoredRecord(
        entity_name(type(record)),
        record.business_id,
        record.id,
        version,
        to_micros(created_at),
        to_micros(updated_at),
        encode_data(record),
    )


def read_record(entity: type[E], row: Any) -> E:
    """
    Return the record of a row: a `StoredRecord`, or a result row with its columns.

    Raises:
        DeclarationError: What is stored no longer fits the class.
    """
    try:
        record: E = _decoder(entity).decode(row.data)
    except msgspec.ValidationError as error:
        raise DeclarationError(
            f"The stored {entity.__name__} {row.id} no longer fits its class: {error}. Give the "
            "field a type that also reads what was stored before."
        ) from error
    record.id = row.id
    record.business_id = row.business_id
    record.version = row.version
    record.created_at = from_micros(row.created_at)
    record.updated_at = from_micros(row.updated_at)
    return record


def encode_data(record: Entity) -> str:
    """
    Return the document of a record: every field that is not a column of its own.

    Raises:
        UsageError: A value does not fit its declared type or cannot be kept; names the field.
    """
    entity = type(record)
    data: dict[str, Any] = {}
    for field in stored_fields(entity):
        value = getattr(record, field.name)
        if value is not None or not field.omits_null:
            data[field.path] = _to_document(field, value)
    try:
        text = json.encode_text(data)
    except UnicodeEncodeError as error:
        raise UsageError(
            f"A text of the {entity.__name__} holds half of a surrogate pair, which is no "
            "character; decode it with errors='replace' first."
        ) from error
    if "\\u0000" in text and _NUL.search(text):
        raise UsageError(
            f"A text of the {entity.__name__} holds the character NUL, which not every database "
            "can keep; remove it first."
        )
    try:
        _decoder(entity).decode(text)
    except msgspec.ValidationError as error:
        raise UsageError(f"{entity.__name__} cannot be stored: {error}.") from error
    return text


def check_fields(entity: type[Entity], values: dict[str, Any]) -> dict[str, Any]:
    """
    Return the values as their declared types.

    Raises:
        UsageError: A field is unknown or a value does not fit; names the field.
    """
    known = record_fields(entity)
    checked: dict[str, Any] = {}
    for name, value in values.items():
        field = known.get(name)
        if field is None:
            raise unknown_field(entity, name)
        checked[name] = check_value(field, value)
    return checked


def check_value(field: RecordField, value: Any) -> Any:
    """
    Return a value as the declared type of its field.

    Raises:
        UsageError: It does not fit; names the field, what is expected and what was given.
    """
    if field.kind == "decimal" and isinstance(value, float):
        raise UsageError(
            f"{field} is a decimal number and was given the float {value!r}, which is not exact. "
            f'Write Decimal("{value!r}") or "{value!r}".',
            field=field.name,
        )
    converted = _convert(field, value)
    _to_document(field, converted)
    return converted


def format_moment(moment: datetime, what: object) -> str:
    """
    Return a moment in the stored form.

    Raises:
        UsageError: It has no time zone; *what* names the field.
    """
    if moment.tzinfo is None:
        raise UsageError(
            f"{what} was given {moment!r}, which has no time zone. Use dovetail.now(), or "
            "datetime(..., tzinfo=UTC)."
        )
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def read_decimal(value: Any) -> Decimal | None:
    """Return a stored value as the Decimal it stands for, or None when it stands for none."""
    if not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; unlike ``==``, True is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def plain_value(value: Any, what: object) -> Any:
    """
    Return a value of no declared type as JSON values, moments and Decimals as text.

    Raises:
        UsageError: It cannot be kept; *what* names the field.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int | float | Decimal):
        return _number(value, what)
    if isinstance(value, datetime):
        return format_moment(value, what)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {_key(key, what): plain_value(item, what) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item, what) for item in value]
    try:
        built = msgspec.to_builtins(value, builtin_types=(datetime, Decimal))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{what} was given a {type(value).__name__}, which is not data: {error}."
        ) from error
    return plain_value(built, what)


@lru_cache(maxsize=1024)
def _decoder(entity: type[E]) -> msgspec.json.Decoder[E]:
    return msgspec.json.Decoder(entity)


def _convert(field: RecordField, value: Any) -> Any:
    try:
        return msgspec.convert(value, field.type)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{field} was given {type(value).__name__} {value!r}: {error}.", field=field.name
        ) from error


def _to_document(field: RecordField, value: Any) -> Any:
    if isinstance(value, str) and field.kind in {"datetime", "date", "decimal"}:
        value = _convert(field, value)
    if value is None or isinstance(value, str | bool) or value in ([], {}):
        return value
    if field.kind in {"number", "decimal"} and isinstance(value, int | float | Decimal):
        return _number(value, field)
    return plain_value(value, field)


def _number(value: float | Decimal, what: object) -> int | float | str:
    if isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            raise UsageError(f"{what} was given {value}, which does not fit in 64 bits.")
        return value
    if not math.isfinite(value):
        raise UsageError(f"{what} was given {value}, which is not a finite number.")
    return str(value) if isinstance(value, Decimal) else value


def _key(key: Any, what: object) -> str:
    if not isinstance(key, str):
        raise UsageError(f"{what} was given the key {key!r}; the keys of a dict must be text.")
    return key
