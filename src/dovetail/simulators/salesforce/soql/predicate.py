"""
Conditions as functions of a row, and what they say about where the rows can be.

Logic has two values: a comparison with an empty field is false, so its negation is true.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dovetail.simulators.salesforce.sobject import Row
from dovetail.simulators.salesforce.soql.binding import Binder, Column
from dovetail.simulators.salesforce.soql.syntax import (
    Both,
    Comparison,
    Condition,
    Negation,
)

Predicate = Callable[[Row], bool]

_COMPARERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_STAMP = "SystemModstamp"


@dataclass(frozen=True, slots=True)
class Narrowing:
    """
    Where all matching rows are: an over-estimate that an index can answer.

    Attributes:
        keys: By field of the row: the values (as `Binder` gives them) that a match can have.
        low: SystemModstamp of a match at least.
        high: SystemModstamp of a match at most.
    """

    keys: dict[str, frozenset[Any]]
    low: str | None = None
    high: str | None = None


_ANYWHERE = Narrowing({})


def compile_condition(condition: Condition, binder: Binder) -> tuple[Predicate, Narrowing]:
    """
    Return the test of a row, and the narrowing that it implies.

    Raises:
        SalesforceError: A field or value does not fit the object.
    """
    if isinstance(condition, Comparison):
        column, values = binder.comparison(condition)
        predicate = _compare(column, condition.operator, values)
        return predicate, _narrow(column, condition.operator, values)
    if isinstance(condition, Negation):
        inner, _ = compile_condition(condition.part, binder)
        return (lambda row: not inner(row)), _ANYWHERE
    compiled = [compile_condition(part, binder) for part in condition.parts]
    predicates = [predicate for predicate, _ in compiled]
    narrowings = [narrowing for _, narrowing in compiled]
    if isinstance(condition, Both):
        return (lambda row: all(test(row) for test in predicates)), _intersect(narrowings)
    return (lambda row: any(test(row) for test in predicates)), _unite(narrowings)


def _compare(column: Column, operation: str, values: tuple[Any, ...]) -> Predicate:
    read = _reader(column)
    if operation == "like":
        return _like(read, values[0])
    if operation in {"=", "in"}:
        wanted = frozenset(values)
        return lambda row: read(row) in wanted
    if operation in {"!=", "notin"}:
        unwanted = frozenset(values)
        return lambda row: read(row) not in unwanted
    comparer, bound = _COMPARERS[operation], values[0]
    if bound is None:
        return lambda row: operation == ">" and read(row) is not None

    def compares(row: Row) -> bool:
        value = read(row)
        return value is not None and comparer(value, bound)

    return compares


def _reader(column: Column) -> Callable[[Row], Any]:
    if not column.field.is_text:
        return operator.itemgetter(column.field.name) if not column.steps else column.read

    def read_folded(row: Row) -> Any:
        value = column.read(row)
        return None if value is None else value.lower()

    return read_folded


def _like(read: Callable[[Row], Any], pattern: str | None) -> Predicate:
    matches = re.compile(_pattern(pattern or ""), re.DOTALL).fullmatch
    return lambda row: (value := read(row)) is not None and matches(value) is not None


def _pattern(like: str) -> str:
    parts = []
    is_escaped = False
    for character in like:
        if is_escaped:
            parts.append(re.escape(character))
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return "".join(parts)


def _narrow(column: Column, operation: str, values: tuple[Any, ...]) -> Narrowing:
    if column.steps:
        return _ANYWHERE
    name = column.field.name
    if operation in {"=", "in"}:
        if name == _STAMP:
            stamps = [value for value in values if value is not None]
            return Narrowing({}, min(stamps), max(stamps)) if stamps else _ANYWHERE
        return Narrowing({name: frozenset(values)})
    if name == _STAMP and values[0] is not None:
        if operation in {">", ">="}:
            return Narrowing({}, low=values[0])
        if operation in {"<", "<="}:
            return Narrowing({}, high=values[0])
    return _ANYWHERE


def _intersect(parts: list[Narrowing]) -> Narrowing:
    keys: dict[str, frozenset[Any]] = {}
    for part in parts:
        for name, values in part.keys.items():
            keys[name] = keys[name] & values if name in keys else values
    lows = [part.low for part in parts if part.low is not None]
    highs = [part.high for part in parts if part.high is not None]
    return Narrowing(keys, max(lows, default=None), min(highs, default=None))


def _unite(parts: list[Narrowing]) -> Narrowing:
    shared = set(parts[0].keys).intersection(*(part.keys for part in parts[1:]))
    keys = {name: frozenset().union(*(part.keys[name] for part in parts)) for name in shared}
    lows = [part.low for part in parts if part.low is not None]
    highs = [part.high for part in parts if part.high is not None]
    return Narrowing(
        keys,
        min(lows) if len(lows) == len(parts) else None,
        max(highs) if len(highs) == len(parts) else None,
    )
