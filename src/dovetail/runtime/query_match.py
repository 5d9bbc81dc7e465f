"""Queries evaluated in Python, for records that are not in the database (yet)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import cmp_to_key
from typing import Any, TypeVar

from dovetail.model.entity import Entity
from dovetail.runtime.query import Condition, Query, field_value
from dovetail.runtime.query_operand import Scalar, value_as

E = TypeVar("E", bound=Entity)
Place = tuple[Scalar | None, ...]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def matches(query: Query, record: Entity) -> bool:
    """Return whether a record fits every condition; the place of `after` does not count."""
    return all(_holds(condition, record) for condition in query.conditions)


def place_of(query: Query, record: Entity) -> Place:
    """Return where a record stands in the order of a query."""
    return tuple(value_as(field_value(record, one.field), one.kind) for one in query.order)


def sort_records(query: Query, found: Iterable[E]) -> list[E]:
    """Return the records that come after the query's place, in its order, up to its limit."""
    placed = [(place_of(query, record), record) for record in found]
    after = query.after
    if after is not None:
        placed = [one for one in placed if _compare(query, one[0], after) > 0]

    def compare(one: tuple[Place, E], other: tuple[Place, E]) -> int:
        return _compare(query, one[0], other[0])

    placed.sort(key=cmp_to_key(compare))
    return [record for _, record in placed[: query.limit]]


def _holds(condition: Condition, record: Entity) -> bool:
    value = field_value(record, condition.field)
    if condition.operator == "in":
        return _is_among(condition, value)
    if condition.operator == "not_in":
        return not _is_among(condition, value)
    [operand] = condition.operands
    if operand.kind is None:
        return False
    if condition.operator == "contains":
        if isinstance(value, list | tuple | set | frozenset):
            return any(value_as(item, operand.kind) == operand.value for item in value)
        text = value_as(value, "text")
        return isinstance(text, str) and isinstance(operand.value, str) and operand.value in text
    found = value_as(value, operand.kind)
    return found is not None and _COMPARE[condition.operator](found, operand.value)


def _is_among(condition: Condition, value: Any) -> bool:
    if value is None:
        return condition.has_null
    return any(
        operand.kind is not None and value_as(value, operand.kind) == operand.value
        for operand in condition.operands
    )


def _compare(query: Query, one: Place, other: Place) -> int:
    for order, mine, theirs in zip(query.order, one, other, strict=True):
        if mine == theirs:
            continue
        less = mine is None or (theirs is not None and mine < theirs)  # type: ignore[operator]
        return -1 if less != order.descending else 1
    return 0
