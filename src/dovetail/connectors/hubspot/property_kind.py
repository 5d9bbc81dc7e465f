"""
What the values of an account's own properties are: HubSpot tells all of them as texts.

Our own fields know their types and read such a text themselves. A property that the account made
has no type here, and another platform tells true, 42 or a list where HubSpot tells ``"true"``,
``"42"`` or ``"a;b"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from dovetail.connectors.hubspot.value import moment

_BOOLEANS = {"true": True, "false": False}
_EXACT = 2**53

Kind = str
"""One of "number", "bool", "choices", "date", and "" for what stays a text."""


def kind_of(described: Mapping[str, Any]) -> Kind:
    """Return the kind of a property, from its description."""
    kind = described.get("type")
    if kind == "enumeration":
        return "choices" if described.get("fieldType") == "checkbox" else ""
    return str(kind) if kind in ("number", "bool", "date") else ""


def typed(kind: Kind, text: Any) -> Any:
    """Return a value as what it is; a text that does not fit its kind stays a text."""
    if not isinstance(text, str) or not text:
        return text
    if kind == "choices":
        return sorted({part.strip() for part in text.split(";") if part.strip()})
    if kind == "bool":
        return _BOOLEANS.get(text.lower(), text)
    if kind == "number":
        return _number(text)
    if kind == "date" and text.isdecimal():
        return moment(text).date().isoformat()
    return text


def _number(text: str) -> Any:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite():
        return text
    if number == number.to_integral_value() and abs(number) < _EXACT:
        return int(number)
    close = float(number)
    # What no float holds exactly is not cut: it stays as it was told.
    return close if Decimal(repr(close)) == number else text
