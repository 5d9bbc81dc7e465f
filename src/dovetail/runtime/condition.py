"""Conditions on the fields of an event, as plain data: kept with a wait, met by a payload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from dovetail.core import json
from dovetail.errors import UsageError


def _contains(found: Any, wanted: Any) -> bool:
    return isinstance(found, str | list) and wanted in found


def _is_null(found: Any, wanted: Any) -> bool:
    return (found is None) is bool(wanted)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def holds(found: Any, wanted: Any) -> bool:
        pair = _numbers(found, wanted)
        if pair is None and isinstance(found, str) and isinstance(wanted, str):
            pair = (found, wanted)
        return pair is not None and compare(*pair)

    return holds


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "in": lambda found, wanted: any(_same(found, one) for one in wanted),
    "not_in": lambda found, wanted: not any(_same(found, one) for one in wanted),
    "gt": _ordered(lambda a, b: a > b),
    "gte": _ordered(lambda a, b: a >= b),
    "lt": _ordered(lambda a, b: a < b),
    "lte": _ordered(lambda a, b: a <= b),
    "ne": lambda found, wanted: not _same(found, wanted),
    "contains": _contains,
    "is_null": _is_null,
}


def plain_conditions(where: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return conditions as plain data.

    Raises:
        UsageError: An operator is unknown, or a value is not data.
    """
    for field, wanted in where.items():
        if isinstance(wanted, Mapping):
            unknown = [name for name in wanted if name not in _OPERATORS]
            if unknown or not wanted:
                raise UsageError(
                    f"where: {field!r} has the operator {unknown[0] if unknown else None!r}; use "
                    f"one of {', '.join(_OPERATORS)}, or a plain value for equality.",
                    field=field,
                )
    try:
        plain: dict[str, Any] = json.decode(json.encode({k: _tagged(v) for k, v in where.items()}))
    except TypeError as error:
        raise UsageError(f"where: a value is not data: {error}.") from error
    return plain


def scalar_conditions(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return those that ask for one exact text, whole number or truth value."""
    return {
        field: wanted
        for field, wanted in conditions.items()
        if isinstance(wanted, str | int | bool)
    }


def fits(conditions: Mapping[str, Any], payload: Mapping[str, Any]) -> bool:
    """Return whether a payload meets every condition; a dotted name looks inside an object."""
    for field, wanted in conditions.items():
        found = _value(payload, field)
        if isinstance(wanted, dict) and "decimal" not in wanted:
            if not all(_OPERATORS[name](found, value) for name, value in wanted.items()):
                return False
        elif not _same(found, wanted):
            return False
    return True


def _tagged(value: Any) -> Any:
    # A Decimal is written as a text; marked, so that 12.5 is also found as "12.50".
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, Mapping):
        return {name: _tagged(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_tagged(one) for one in value]
    return value


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and set(wanted) == {"decimal"}:
        pair = _numbers(found, wanted)
        return pair is not None and pair[0] == pair[1]
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return bool(found == wanted)


def _numbers(found: Any, wanted: Any) -> tuple[Any, Any] | None:
    marked = isinstance(wanted, dict) and set(wanted) == {"decimal"}
    other = wanted["decimal"] if marked else wanted
    if isinstance(found, bool) or (not marked and not isinstance(other, int | float)):
        return None
    try:
        return Decimal(str(found)), Decimal(str(other))
    except InvalidOperation:
        return None


def _value(payload: Mapping[str, Any], field: str) -> Any:
    found: Any = payload
    for part in field.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found
