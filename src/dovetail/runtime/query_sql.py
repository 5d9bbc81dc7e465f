"""Queries as SQL over the ``records`` table; what differs between databases is asked of the Tx."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from dovetail.runtime.query import Condition, Order, Query
from dovetail.runtime.query_operand import Scalar, ValueKind
from dovetail.runtime.record_document import entity_name
from dovetail.runtime.record_field import RecordField
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import records

_COMPARE: dict[str, Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def select_statement(tx: Tx, query: Query, business_id: str | None) -> sa.Select[Any]:
    """Return the statement that selects the rows of a query; no tenant means every tenant."""
    columns = [_column(tx, one.field, one.kind) for one in query.order]
    if _looks_up_many(query):
        # Sorting the few that are found beats walking all records of the tenant in order of id,
        # which a planner without statistics would do instead of using the declared index.
        columns = [
            sa.func.coalesce(column, "") if column is records.c.id else column for column in columns
        ]
    statement = (
        sa.select(records)
        .where(*_conditions(tx, query, business_id))
        .order_by(
            *(
                column.desc().nulls_last() if order.descending else column.asc().nulls_first()
                for order, column in zip(query.order, columns, strict=True)
            )
        )
    )
    if query.after is not None:
        statement = statement.where(_after(query, columns, query.after))
    return statement if query.limit is None else statement.limit(query.limit)


def count_statement(tx: Tx, query: Query, business_id: str | None) -> sa.Select[Any]:
    """Return the statement that counts the rows which fit the conditions of a query."""
    return (
        sa.select(sa.func.count()).select_from(records).where(*_conditions(tx, query, business_id))
    )


def _conditions(tx: Tx, query: Query, business_id: str | None) -> list[sa.ColumnElement[bool]]:
    # The name is written out: a partial index is only used where the planner can see that its
    # condition holds. It is made of letters and underscores, being the name of a class.
    name = entity_name(query.entity)
    if not name.isidentifier():
        raise ValueError(f"not an entity name: {name!r}")
    clauses: list[sa.ColumnElement[bool]] = [records.c.entity == sa.literal_column(f"'{name}'")]
    if business_id is not None:
        clauses.append(records.c.business_id == business_id)
    return clauses + [_clause(tx, condition) for condition in query.conditions]


def _column(tx: Tx, field: RecordField, kind: ValueKind) -> sa.ColumnElement[Any]:
    if field.is_system:
        return records.c[field.name]
    return tx.json_field(field.path, kind, checked=field.kind == "any")


def _looks_up_many(query: Query) -> bool:
    leading = {
        declared if isinstance(declared, str) else declared[0]
        for declared in query.entity.__indexes__
    }
    return any(
        condition.field.name in leading
        and condition.operator != "not_in"
        and not (condition.operator == "in" and len(condition.operands) == 1)
        for condition in query.conditions
    )


def _is_null(tx: Tx, field: RecordField) -> sa.ColumnElement[bool]:
    return sa.false() if field.is_system else tx.json_field(field.path, "any").is_(None)


def _bind(column: sa.ColumnElement[Any], value: Scalar) -> sa.ColumnElement[Any]:
    return sa.bindparam(None, value, type_=column.type)


def _clause(tx: Tx, condition: Condition) -> sa.ColumnElement[bool]:
    field = condition.field
    if condition.operator == "in":
        choices: list[sa.ColumnElement[bool]] = [
            _is_one_of(_column(tx, field, kind), values)
            for kind, values in condition.by_kind().items()
        ]
        if condition.has_null:
            choices.append(_is_null(tx, field))
        return sa.or_(sa.false(), *choices)
    if condition.operator == "not_in":
        refusals: list[sa.ColumnElement[bool]] = []
        for kind, values in condition.by_kind().items():
            column = _column(tx, field, kind)
            refusals.append(column.is_(None) | column.not_in(values))
        if condition.has_null:
            refusals.append(sa.not_(_is_null(tx, field)))
        return sa.and_(sa.true(), *refusals)
    [operand] = condition.operands
    if operand.kind is None or operand.value is None:
        return sa.false()
    if condition.operator == "contains":
        return _contains(tx, field, operand.value)
    column = _column(tx, field, operand.kind)
    return _COMPARE[condition.operator](column, _bind(column, operand.value))


def _is_one_of(column: sa.ColumnElement[Any], values: list[Scalar]) -> sa.ColumnElement[bool]:
    return column == _bind(column, values[0]) if len(values) == 1 else column.in_(values)


def _contains(tx: Tx, field: RecordField, value: Scalar) -> sa.ColumnElement[bool]:
    choices: list[sa.ColumnElement[bool]] = []
    if field.kind in {"list", "any"}:
        choices.append(tx.json_list_has(field.path, value))
    if field.kind in {"text", "any"} and isinstance(value, str):
        column = _column(tx, field, "text")
        # LIKE ignores case on one database and not on another; REPLACE is the same everywhere.
        choices.append(
            sa.func.replace(column, value, "") != column if value else column.is_not(None)
        )
    return sa.or_(sa.false(), *choices)


def _after(
    query: Query, columns: list[sa.ColumnElement[Any]], place: tuple[Scalar | None, ...]
) -> sa.ColumnElement[bool]:
    choices: list[sa.ColumnElement[bool]] = []
    same: list[sa.ColumnElement[bool]] = []
    for order, column, value in zip(query.order, columns, place, strict=True):
        choices.append(sa.and_(*same, _beyond(order, column, value)))
        same.append(column.is_(None) if value is None else column == _bind(column, value))
    return sa.or_(*choices)


def _beyond(
    order: Order, column: sa.ColumnElement[Any], value: Scalar | None
) -> sa.ColumnElement[bool]:
    if value is None:  # null comes first, and last when descending
        return sa.false() if order.descending else column.is_not(None)
    bound = _bind(column, value)
    return (column < bound) | column.is_(None) if order.descending else column > bound
