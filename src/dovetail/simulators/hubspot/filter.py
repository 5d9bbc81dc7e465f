"""Search filters: read, checked, and turned into one predicate per record."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dovetail.core.clock import from_micros
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.property import Property, to_millis

MAX_GROUPS = 5
MAX_FILTERS_IN_GROUP = 6
MAX_FILTERS = 18

_ORDERED = ("LT", "LTE", "GT", "GTE", "BETWEEN")
_OPERATORS = (
    *_ORDERED,
    "EQ",
    "NEQ",
    "IN",
    "NOT_IN",
    "HAS_PROPERTY",
    "NOT_HAS_PROPERTY",
    "CONTAINS_TOKEN",
    "NOT_CONTAINS_TOKEN",
)
_LATEST_MS = 250_000_000_000_000.0  # near the last year that a datetime can hold
_NUMERIC = ("number", "date", "datetime")

Comparable = float | str
ValueOf = Callable[[Any, str], str | None]


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one property."""

    name: str
    operator: str
    numeric: bool
    value: Comparable | None = None
    high: Comparable | None = None
    values: frozenset[str] = frozenset()
    pattern: re.Pattern[str] | None = None

    def holds(self, value: str | None) -> bool:
        """Return whether a property value satisfies the condition."""
        if self.operator == "HAS_PROPERTY":
            return value is not None
        if self.operator == "NOT_HAS_PROPERTY":
            return value is None
        if self.operator == "NOT_CONTAINS_TOKEN":
            return value is None or not self._has_token(value)
        if value is None:
            return False
        if self.operator in ("IN", "NOT_IN"):
            # The index holds lower case: a value that was asked for in upper case never matches.
            return (value.lower() in self.values) is (self.operator == "IN")
        if self.operator == "CONTAINS_TOKEN":
            return self._has_token(value)
        return self._compares(comparable(value, numeric=self.numeric))

    def _compares(self, mine: Any) -> bool:
        other: Any = self.value
        match self.operator:
            case "EQ":
                return bool(mine == other)
            case "NEQ":
                return bool(mine != other)
            case "LT":
                return bool(mine < other)
            case "LTE":
                return bool(mine <= other)
            case "GT":
                return bool(mine > other)
            case "GTE":
                return bool(mine >= other)
            case _:
                return bool(other <= mine <= self.high)

    def _has_token(self, value: str) -> bool:
        assert self.pattern is not None  # noqa: S101 - read_filter gives these operators one
        tokens = re.split(r"[^\w*]+", value.lower())
        return any(self.pattern.fullmatch(token) for token in [*tokens, value.lower()])


def comparable(value: str, *, numeric: bool) -> Comparable:
    """Return what a value is compared by: a number, milliseconds, or lower-case text."""
    if not numeric:
        return value.lower()
    millis = to_millis(value)
    if millis is not None:
        return float(millis)
    try:
        return float(value)
    except ValueError:
        return float("nan")


def read_groups(described: Any, properties: Mapping[str, Property]) -> list[list[Filter]]:
    """
    Return the filter groups of a search: any group must hold, all filters of it.

    Raises:
        RefusedError: Too many, unknown property or operator, missing value.
    """
    if not isinstance(described, list):
        raise refusal.invalid("Invalid input JSON: filterGroups is an array")
    groups = []
    for group in described:
        filters = group.get("filters") if isinstance(group, dict) else None
        if not isinstance(filters, list):
            raise refusal.invalid("Invalid input JSON: a filter group has an array of filters")
        groups.append([_read_filter(each, properties) for each in filters])
    if len(groups) > MAX_GROUPS:
        raise refusal.invalid(f"too many filter groups: at most {MAX_GROUPS} are allowed")
    if any(len(group) > MAX_FILTERS_IN_GROUP for group in groups):
        raise refusal.invalid(f"too many filters in a group: at most {MAX_FILTERS_IN_GROUP}")
    if sum(map(len, groups)) > MAX_FILTERS:
        raise refusal.invalid(f"too many filters: at most {MAX_FILTERS} in all groups together")
    return groups


def since_of(groups: list[list[Filter]], name: str) -> datetime | None:
    """Return the earliest moment of a datetime property that any match can have, if bounded."""
    bounds = []
    for group in groups:
        lower = [
            each.value
            for each in group
            if each.name == name and each.operator in ("GT", "GTE", "BETWEEN", "EQ")
        ]
        bounds.append(max((value for value in lower if isinstance(value, float)), default=None))
    if not bounds or any(bound is None for bound in bounds):
        return None
    earliest = min(bound for bound in bounds if bound is not None)
    if not 0 <= earliest <= _LATEST_MS:
        return None
    return from_micros(round(earliest) * 1000)


def _read_filter(described: Any, properties: Mapping[str, Property]) -> Filter:
    if not isinstance(described, dict):
        raise refusal.invalid("Invalid input JSON: a filter is an object")
    name, operator = described.get("propertyName"), described.get("operator")
    definition = properties.get(name) if isinstance(name, str) else None
    if definition is None:
        raise refusal.invalid(f"There was a problem with the request. Unknown property {name!r}")
    if operator not in _OPERATORS:
        raise refusal.invalid(
            f"Invalid input JSON: operator {operator!r} is not one of {', '.join(_OPERATORS)}"
        )
    numeric = definition.type in _NUMERIC
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return Filter(definition.name, operator, numeric)
    if operator in ("IN", "NOT_IN"):
        values = described.get("values")
        if not isinstance(values, list) or not values:
            raise refusal.invalid(f"operator {operator} needs values for {name}")
        return Filter(definition.name, operator, numeric, values=frozenset(map(str, values)))
    value = _value(described, "value", definition, numeric)
    high = _value(described, "highValue", definition, numeric) if operator == "BETWEEN" else None
    pattern = None
    if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
        parts = (re.escape(part) for part in str(described["value"]).lower().split("*"))
        pattern = re.compile(".*".join(parts))
    return Filter(definition.name, operator, numeric, value=value, high=high, pattern=pattern)


def _value(described: dict[str, Any], key: str, definition: Property, numeric: bool) -> Comparable:
    given = described.get(key)
    if isinstance(given, bool) or not isinstance(given, str | int | float) or given == "":
        operator = described["operator"]
        raise refusal.invalid(f"operator {operator} needs {key} for {definition.name}")
    value = comparable(str(given), numeric=numeric)
    if value != value:  # noqa: PLR0124 - NaN: not a number and not a date
        raise refusal.invalid(f"{given!r} is not a valid value for {definition.name}")
    return value
