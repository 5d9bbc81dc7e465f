"""Rows as Salesforce has them: their ids, times and values both ways."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

Row = dict[str, Any]

SKEW = timedelta(minutes=5)
"""How far our clock may be ahead of Salesforce's where their times are compared."""
MODIFIED = "SystemModstamp"  # LastModifiedDate stands still when automation changes a row

_exact = msgspec.json.Decoder(float_hook=Decimal)
_CHECK_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def rows_of(body: bytes, within: str | None = None) -> list[Any]:
    """Return the rows of an answer, its fractions as decimals: a float would round money."""
    told: Any = _exact.decode(body) if body else []
    return list((told[within] if within else told) or ())


def moment(text: str) -> datetime:
    """Return a time of Salesforce: ``2026-03-01T15:04:05.000+0000``."""
    return datetime.fromisoformat(text).astimezone(UTC)


def long_id(id: str) -> str:
    """
    Return an id in its form of 18 characters, which ignores case.

    Error messages and links have 15 characters; the other three say which of them are capitals.
    """
    if len(id) != 15:
        return id
    parts = (id[start : start + 5] for start in range(0, 15, 5))
    bits = (sum(char.isupper() << place for place, char in enumerate(part)) for part in parts)
    return id + "".join(_CHECK_DIGITS[number] for number in bits)


def is_id(text: str) -> bool:
    """Return whether it could be an id; anything else makes Salesforce refuse a whole call."""
    return text.isascii() and text.isalnum() and len(text) in (15, 18)


def value_of(value: Any, kind: str) -> Any:
    """
    Return a value in the JSON type that a field of type *kind* takes.

    A wrong JSON type makes Salesforce refuse every row of the call.

    Raises:
        ValueError: It cannot be told in that type; the message says what was expected.
    """
    if value is None or value == "":
        return None
    if kind in ("double", "currency", "percent", "int", "long"):
        return _number(value)
    if kind == "boolean":
        return _boolean(value)
    if kind == "date":
        return (value.isoformat() if isinstance(value, date) else str(value))[:10]
    if kind == "datetime" and isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    return _text(value)


def _number(value: Any) -> msgspec.Raw:
    try:
        number = Decimal(str(value).strip())
        if isinstance(value, bool) or not number.is_finite():
            raise ValueError
    except (ArithmeticError, ValueError):
        raise ValueError(f"{value!r} is not a number") from None
    # Written digit by digit: a float would round what a currency field holds.
    return msgspec.Raw(f"{number:f}".encode())


def _boolean(value: Any) -> bool:
    try:
        return _TRUTHS[str(value).strip().lower()]
    except KeyError:
        raise ValueError(f"{value!r} is not true or false") from None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        return ";".join(_text(item) for item in value)
    if isinstance(value, Mapping):
        raise ValueError("a nested value cannot be kept in one field")  # noqa: TRY004 - see Raises
    return str(value)
