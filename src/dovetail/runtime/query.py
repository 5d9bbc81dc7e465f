"""
Queries over records: what `db.query` and its likes accept, checked against the entity.

    where, keywords, order_by, after  ->  Query  ->  SQL (query_sql)
                                                 ->  Python (query_match)

Both evaluators compare the same four kinds of value: text, number, boolean and decimal. Moments and
dates are compared in their stored form, which sorts as they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, cast, get_args

from dovetail.core.clock import to_micros
from dovetail.errors import UsageError
from dovetail.model.entity import Entity
from dovetail.runtime.query_cursor import read_cursor
from dovetail.runtime.query_operand import Operand, Scalar, ValueKind, read_item, read_operand
from dovetail.runtime.record_field import Kind, RecordField, closest, find_field

Operator = Literal["in", "not_in", "gt", "gte", "lt", "lte", "ne", "contains", "is_null"]
Where = Mapping[str, Any]

OPERATORS: tuple[str, ...] = get_args(Operator)
"""What ``where`` understands; a plain value means equality."""

_RANGE = frozenset({"gt", "gte", "lt", "lte"})
_MEMBERSHIP = frozenset({"in", "not_in", "ne", "is_null"})
_ALLOWED: dict[Kind, frozenset[str]] = {
    "text": frozenset(OPERATORS),
    "any": frozenset(OPERATORS),
    "number": _MEMBERSHIP | _RANGE,
    "decimal": _MEMBERSHIP | _RANGE,
    "datetime": _MEMBERSHIP | _RANGE,
    "date": _MEMBERSHIP | _RANGE,
    "boolean": _MEMBERSHIP,
    "list": frozenset({"contains", "is_null"}),
    "object": frozenset({"is_null"}),
}
_EVERY_KIND: tuple[ValueKind, ...] = ("boolean", "number", "text")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on one field. Equality is ``in`` with one operand, ``ne`` is ``not_in``."""

    field: RecordField
    operator: Operator
    operands: tuple[Operand, ...]

    @property
    def has_null(self) -> bool:
        """Whether null is among the operands."""
        return any(operand.kind is None for operand in self.operands)

    def by_kind(self) -> dict[ValueKind, list[Scalar]]:
        """Return the operands that are not null, sorted out by how they compare."""
        groups: dict[ValueKind, list[Scalar]] = {}
        for operand in self.operands:
            if operand.kind is not None and operand.value is not None:
                groups.setdefault(operand.kind, []).append(operand.value)
        return groups


@dataclass(frozen=True, slots=True)
class Order:
    """One column to sort by. Null comes before every value, and last when descending."""

    field: RecordField
    kind: ValueKind
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """
    A checked query.

    Args:
        entity: What it selects.
        conditions: All of them must hold.
        order: Ends with the id and the tenant, so that no two records are at one place.
        spelling: The order as it was asked for; a cursor only fits the order it was made for.
        limit: Records at most.
        after: The place in the order to go on after: one value for each of `order`.
    """

    entity: type[Entity]
    conditions: tuple[Condition, ...]
    order: tuple[Order, ...]
    spelling: tuple[str, ...]
    limit: int | None = None
    after: tuple[Scalar | None, ...] | None = None


def build_query(
    entity: type[Entity],
    where: Where | None = None,
    *,
    order_by: str | Sequence[str] | None = None,
    limit: int | None = None,
    after: str | None = None,
    equal: Where | None = None,
) -> Query:
    """
    Check a query.

    Args:
        entity: What to select.
        where: ``{"field": value}`` or ``{"field": {"gte": 18}}``; all must hold.
        order_by: Field names, ``-`` in front for descending; by id (age) when not given.
        limit: Records at most.
        after: The cursor of an earlier result of the same query.
        equal: More conditions, each an equality or a dict of operators.

    Raises:
        UsageError: A field or operator is unknown, or a value does not fit.
    """
    if limit is not None and (type(limit) is not int or limit < 1):
        raise UsageError(f"limit must be a whole number of at least 1, not {limit!r}.")
    conditions = [
        condition
        for group in ({} if where is None else where, equal or {})
        for name, wanted in _items(group)
        for condition in _conditions(find_field(entity, name), wanted)
    ]
    spelling = (order_by,) if isinstance(order_by, str) else tuple(order_by or ())
    query = Query(entity, tuple(conditions), tuple(_orders(entity, spelling)), spelling, limit)
    return query if after is None else replace(query, after=read_cursor(query, after))


def field_value(record: Entity, field: RecordField) -> Any:
    """Return the value of a field, or of a custom field; moments of the store in microseconds."""
    name = field.name.removeprefix("custom.")
    if name != field.name:
        return record.custom.get(name)
    value = getattr(record, name)
    if field.is_system and isinstance(value, datetime):
        return to_micros(value)
    return value


def _items(group: Any) -> Iterable[tuple[str, Any]]:
    if not isinstance(group, Mapping):
        raise UsageError(
            f"where must be a dict such as {{'status': 'active'}}, not {type(group).__name__}."
        )
    return group.items()


def _conditions(field: RecordField, wanted: Any) -> Iterable[Condition]:
    if not isinstance(wanted, Mapping):
        _check_equality(field, wanted)
        return [Condition(field, "in", (read_operand(field, wanted),))]
    if not wanted:
        raise UsageError(f"{field}: the dict of operators is empty; {_operators(field)}.")
    return [_condition(field, operator, value) for operator, value in wanted.items()]


def _condition(field: RecordField, operator: str, value: Any) -> Condition:
    _check_operator(field, operator)
    if operator == "is_null":
        return _null_condition(field, value)
    if operator == "ne":
        return Condition(field, "not_in", (read_operand(field, value),))
    if operator in {"in", "not_in"}:
        if not isinstance(value, list | tuple | set | frozenset):
            raise UsageError(f"{field}: {operator!r} needs a list of values, not {value!r}.")
        operands = tuple(read_operand(field, one) for one in value)
        return Condition(field, cast(Operator, operator), operands)
    if value is None:
        raise UsageError(f"{field}: {operator!r} cannot be asked of None; use is_null.")
    if operator == "contains":
        return Condition(field, "contains", (read_item(field, value),))
    operand = read_operand(field, value)
    if operand.kind == "boolean":
        raise UsageError(f"{field}: {operator!r} cannot be asked of {value!r}.")
    return Condition(field, cast(Operator, operator), (operand,))


def _check_operator(field: RecordField, operator: Any) -> None:
    if operator not in OPERATORS:
        near = closest(str(operator), list(OPERATORS))
        hint = f"; did you mean {near!r}?" if near else "."
        raise UsageError(f"{field}: unknown operator {operator!r}{hint} {_operators(field)}.")
    if operator not in _ALLOWED[field.kind]:
        raise UsageError(
            f"{field} is a {field.kind}: {operator!r} is not for it. {_operators(field)}."
        )


def _check_equality(field: RecordField, value: Any) -> None:
    if field.kind in {"list", "object"} and value is not None:
        raise UsageError(
            f"{field} is a {field.kind} and cannot be compared with {value!r}. {_operators(field)}."
        )


def _null_condition(field: RecordField, value: Any) -> Condition:
    if not isinstance(value, bool):
        raise UsageError(f"{field}: 'is_null' needs True or False, not {value!r}.")
    return Condition(field, "in" if value else "not_in", (Operand(None, None),))


def _operators(field: RecordField) -> str:
    allowed = [one for one in OPERATORS if one in _ALLOWED[field.kind]]
    return f"Allowed: a plain value, {', '.join(allowed)}"


def _orders(entity: type[Entity], spelling: Sequence[str]) -> Iterable[Order]:
    names: list[str] = []
    for spelled in (*spelling, "id", "business_id"):
        name = spelled.removeprefix("-")
        if name in names:
            continue
        names.append(name)
        field = find_field(entity, name)
        if field.kind in {"list", "object"}:
            raise UsageError(f"{field} is a {field.kind}; it has no order to sort by.")
        for kind in sort_kinds(field):
            yield Order(field, kind, descending=spelled.startswith("-"))


def sort_kinds(field: RecordField) -> tuple[ValueKind, ...]:
    """Return the columns that a field sorts by: all kinds, where values may be of any."""
    if field.kind == "any":
        return _EVERY_KIND
    if field.is_system and field.kind == "datetime":
        return ("number",)
    if field.kind in {"datetime", "date"}:
        return ("text",)
    return (cast(ValueKind, field.kind),)
