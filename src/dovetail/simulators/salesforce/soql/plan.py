"""A checked query, ready to run over the rows of its object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.sobject import Row, SObject, child_relations
from dovetail.simulators.salesforce.soql.binding import Binder, Column, Lookup
from dovetail.simulators.salesforce.soql.lexer import malformed, pointed
from dovetail.simulators.salesforce.soql.parser import parse
from dovetail.simulators.salesforce.soql.predicate import (
    Narrowing,
    Predicate,
    compile_condition,
)
from dovetail.simulators.salesforce.soql.syntax import Query
from dovetail.simulators.salesforce.table import RowIndex

Projection = Callable[[Row], dict[str, Any]]
IndexOf = Callable[[SObject], RowIndex]
"""Returns what a query sees of an object."""


@dataclass(frozen=True, slots=True)
class Order:
    """One field by which the result is sorted."""

    column: Column
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What a query does; `run` it over an index of rows of `sobject`."""

    sobject: SObject
    columns: tuple[Column, ...]
    predicate: Predicate | None
    narrowing: Narrowing
    order_by: tuple[Order, ...]
    limit: int | None
    offset: int
    children: tuple[Child, ...] = ()

    @property
    def is_count(self) -> bool:
        """Whether only the number of rows is asked for."""
        return not self.columns and not self.children

    def run(self, index: RowIndex, *, with_deleted: bool) -> list[Row]:
        """Return the matching rows, ordered (by Id unless the query says) and cut to its limit."""
        return self.cut(self.matches(index, with_deleted=with_deleted))

    def cut(self, rows: list[Row]) -> list[Row]:
        """Return the rows within limit and offset."""
        stop = None if self.limit is None else self.offset + self.limit
        return rows[self.offset : stop]

    def matches(self, index: RowIndex, *, with_deleted: bool) -> list[Row]:
        """Return the matching rows, ordered, all of them."""
        rows = [
            row
            for row in self._candidates(index)
            if (with_deleted or not row.get("IsDeleted"))
            and (self.predicate is None or self.predicate(row))
        ]
        rows.sort(key=lambda row: row["Id"])
        for order in reversed(self.order_by):
            rows = _sorted(rows, order)
        return rows

    def projection(
        self, base_path: str, index_of: IndexOf | None = None, *, with_deleted: bool = False
    ) -> Projection:
        """Return how a row is shown; *base_path* starts the URLs of records."""
        flat = tuple(column.field.name for column in self.columns if not column.steps)
        nested = tuple(column for column in self.columns if column.steps)
        prefix = f"{base_path}/sobjects/"
        object_name = self.sobject.name
        children = [
            (child, *child.prepare(base_path, index_of, with_deleted=with_deleted))
            for child in self.children
            if index_of is not None
        ]

        def show(row: Row) -> dict[str, Any]:
            shown = _attributes(prefix, object_name, row)
            for name in flat:
                shown[name] = row[name]
            for column in nested:
                _show_nested(shown, row, column, prefix)
            for child, by_parent, show_child in children:
                rows = child.plan.cut(by_parent.get(row["Id"], []))
                shown[child.name] = _show_children(rows, show_child)
            return shown

        return show

    def _candidates(self, index: RowIndex) -> Iterable[Row]:
        keys = self.narrowing.keys
        if "Id" in keys:
            return [row for key in keys["Id"] if (row := index.rows.get(key)) is not None]
        for name in index.key_names:
            if name in keys and None not in keys[name]:
                ids = set[str]().union(*(index.ids_by_key(name, key) for key in keys[name]))
                return [index.rows[row_id] for row_id in ids]
        if self.narrowing.low is not None or self.narrowing.high is not None:
            return index.between(self.narrowing.low, self.narrowing.high)
        return index.rows.values()


@dataclass(frozen=True, slots=True)
class Child:
    """A query inside SELECT: rows of another object, by the `link` that points to the parent."""

    name: str
    link: Field
    plan: Plan

    def prepare(
        self, base_path: str, index_of: IndexOf, *, with_deleted: bool
    ) -> tuple[dict[str, list[Row]], Projection]:
        """Return the rows of each parent, and how they are shown."""
        by_parent: dict[str, list[Row]] = {}
        index = index_of(self.plan.sobject)
        for row in self.plan.matches(index, with_deleted=with_deleted):
            by_parent.setdefault(row[self.link.name], []).append(row)
        return by_parent, self.plan.projection(base_path)


def plan(text: str, catalog: Mapping[str, SObject], lookup: Lookup) -> Plan:
    """
    Read and check a query.

    Args:
        text: SOQL.
        catalog: The org's objects by lower-case name.
        lookup: Finds rows that a relationship points to.

    Raises:
        SalesforceError: MALFORMED_QUERY, INVALID_TYPE, INVALID_FIELD and their like.
    """
    query = parse(text)
    sobject = catalog.get(query.object_name.text.lower())
    if sobject is None:
        raise pointed(
            text,
            query.object_name.at,
            "INVALID_TYPE",
            f"sObject type '{query.object_name.text}' is not supported. If you are attempting to"
            " use a custom object, be sure to append the '__c' after the entity name. Please"
            " reference your WSDL or the describe call for the appropriate names.",
        )
    return _plan_on(query, sobject, catalog, lookup)


def _plan_on(
    query: Query, sobject: SObject, catalog: Mapping[str, SObject], lookup: Lookup
) -> Plan:
    binder = Binder(query.text, sobject, catalog, lookup)
    columns = _columns(query, binder)
    predicate, narrowing = None, Narrowing({})
    if query.where is not None:
        predicate, narrowing = compile_condition(query.where, binder)
    orders = tuple(
        Order(binder.sortable(item.field), item.descending, item.nulls_last)
        for item in query.order_by
    )
    children = tuple(_child(inner, sobject, catalog, lookup) for inner in query.children)
    return Plan(sobject, columns, predicate, narrowing, orders, query.limit, query.offset, children)


def _child(query: Query, parent: SObject, catalog: Mapping[str, SObject], lookup: Lookup) -> Child:
    name = query.object_name
    for relation in child_relations(parent, catalog):
        if relation.name.lower() == name.text.lower():
            planned = _plan_on(query, relation.sobject, catalog, lookup)
            return Child(relation.name, relation.field, planned)
    raise pointed(
        query.text,
        name.at,
        "INVALID_TYPE",
        f"Didn't understand relationship '{name.text}' in FROM part of query call. If you are"
        " attempting to use a custom relationship, be sure to append the '__r' after the custom"
        " relationship name. Please reference your WSDL or the describe call for the appropriate"
        " names.",
    )


def _columns(query: Query, binder: Binder) -> tuple[Column, ...]:
    columns: dict[str, Column] = {}
    for name in query.fields:
        if name.text.lower() in columns:
            raise _duplicate(query, name.text, name.at)
        columns[name.text.lower()] = binder.column(name)
    return tuple(columns.values())


def _duplicate(query: Query, name: str, at: int) -> SalesforceError:
    return malformed(query.text, at, f"duplicate field selected: {name}")


def _sorted(rows: list[Row], order: Order) -> list[Row]:
    read, is_text = order.column.read, order.column.field.is_text
    empty, filled = [], []
    for row in rows:
        value = read(row)
        if value is None:
            empty.append(row)
        else:
            filled.append((value.lower() if is_text else value, row))
    # Python's sort keeps the order of equal keys, in reverse too.
    filled.sort(key=lambda pair: pair[0], reverse=order.descending)
    ordered = [row for _, row in filled]
    return ordered + empty if order.nulls_last else empty + ordered


def _show_children(rows: list[Row], show: Projection) -> dict[str, Any] | None:
    if not rows:
        return None
    return {"totalSize": len(rows), "done": True, "records": [show(row) for row in rows]}


def _attributes(prefix: str, object_name: str, row: Row) -> dict[str, Any]:
    url = f"{prefix}{object_name}/{row['Id']}"
    return {"attributes": {"type": object_name, "url": url}}


def _show_nested(shown: dict[str, Any], row: Row, column: Column, prefix: str) -> None:
    inside = shown
    current: Row | None = row
    for step in column.steps:
        current = column.follow(step, current)
        name = str(step.relationship)
        if current is None:
            inside.setdefault(name, None)
            return
        inside = inside.setdefault(name, _attributes(prefix, step.refers_to[0], current))
    if current is not None:
        inside[column.field.name] = current[column.field.name]
