"""Gives the names and values of a query their meaning on an object, or says what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dovetail.simulators.salesforce.field import NUMBER_TYPES, Field
from dovetail.simulators.salesforce.identifier import to_id18
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.sobject import Row, SObject
from dovetail.simulators.salesforce.soql.lexer import pointed
from dovetail.simulators.salesforce.soql.syntax import Comparison, Literal, LiteralKind, Name

Lookup = Callable[[str, str], Row | None]
"""Finds a related row by object name and id."""

_NO_COLUMN = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom"
    " field name. Please reference your WSDL or the describe call for the appropriate names."
)
_EQUALITY = frozenset({"=", "!=", "in", "notin"})


@dataclass(frozen=True, slots=True)
class Column:
    """A field, reached through `steps` of references (none for a field of the row itself)."""

    steps: tuple[Field, ...]
    field: Field
    lookup: Lookup

    def read(self, row: Row) -> Any:
        """Return the value for a row; None when a reference on the way is empty."""
        current: Row | None = row
        for step in self.steps:
            current = self.follow(step, current)
            if current is None:
                return None
        return None if current is None else current[self.field.name]

    def follow(self, step: Field, row: Row | None) -> Row | None:
        """Return the row that a reference of *row* points to."""
        target = None if row is None else row[step.name]
        return None if target is None else self.lookup(step.refers_to[0], target)


class Binder:
    """Resolves the names of one query."""

    def __init__(
        self, text: str, sobject: SObject, catalog: Mapping[str, SObject], lookup: Lookup
    ) -> None:
        self._text = text
        self._sobject = sobject
        self._catalog = catalog
        self._lookup = lookup

    def column(self, name: Name) -> Column:
        """
        Return the column of a name.

        Raises:
            SalesforceError: INVALID_FIELD.
        """
        *relationships, last = name.text.split(".")
        sobject = self._sobject
        if relationships and relationships[0].lower() == sobject.name.lower():
            relationships = relationships[1:]
        steps = []
        for relationship in relationships:
            step = sobject.find_relationship(relationship)
            if step is None:
                raise self._invalid(
                    name,
                    f"Didn't understand relationship '{relationship}' in field path. If you are"
                    " attempting to use a custom relationship, be sure to append the '__r' after"
                    " the custom relationship name. Please reference your WSDL or the describe"
                    " call for the appropriate names.",
                )
            steps.append(step)
            sobject = self._catalog[step.refers_to[0].lower()]
        field = sobject.find(last)
        if field is None:
            raise self._invalid(
                name, f"No such column '{last}' on entity '{sobject.name}'. {_NO_COLUMN}"
            )
        return Column(tuple(steps), field, self._lookup)

    def sortable(self, name: Name) -> Column:
        """Return the column of a name in ORDER BY."""
        column = self.column(name)
        if not column.field.is_filterable:
            raise self._invalid(
                name, f"field '{column.field.name}' can not be sorted in a query call"
            )
        return column

    def comparison(self, comparison: Comparison) -> tuple[Column, tuple[Any, ...]]:
        """
        Return the column and the values of a comparison, as they compare with stored values.

        Text becomes lower case (SOQL ignores case), ids get 18 characters, "" becomes None.
        """
        name = comparison.field
        column = self.column(name)
        field = column.field
        if not field.is_filterable:
            raise self._invalid(name, f"field '{field.name}' can not be filtered in a query call")
        if not _allows(field, comparison.operator):
            raise pointed(self._text, name.at, "INVALID_QUERY_FILTER_OPERATOR", "invalid operator")
        return column, tuple(self._value(name, field, item) for item in comparison.values)

    def _value(self, name: Name, field: Field, literal: Literal) -> Any:
        if literal.kind is LiteralKind.NULL:
            return None
        wanted = _wanted_kind(field)
        if literal.kind is not wanted:
            quoting = ""
            if wanted is LiteralKind.STRING:
                quoting = " and should be enclosed in quotes"
            elif literal.kind is LiteralKind.STRING:
                quoting = " and should not be enclosed in quotes"
            shown = field.type if wanted is LiteralKind.NUMBER else wanted.value
            raise self._invalid(
                name,
                f"value of filter criterion for field '{field.name}' must be of type"
                f" {shown}{quoting}",
            )
        if not isinstance(literal.value, str) or wanted is not LiteralKind.STRING:
            return literal.value
        if not literal.value:
            return None
        if field.type not in {"id", "reference"}:
            return literal.value.lower()
        id18 = to_id18(literal.value)
        if id18 is None:
            raise pointed(
                self._text,
                name.at,
                "INVALID_QUERY_FILTER_OPERATOR",
                f"invalid ID field: {literal.value}",
            )
        return id18

    def _invalid(self, name: Name, message: str) -> SalesforceError:
        return pointed(self._text, name.at, "INVALID_FIELD", message)


def _allows(field: Field, operator: str) -> bool:
    if operator in _EQUALITY:
        return True
    if operator == "like":
        return field.is_text
    return field.type != "boolean"


def _wanted_kind(field: Field) -> LiteralKind:
    if field.type in NUMBER_TYPES:
        return LiteralKind.NUMBER
    return {
        "boolean": LiteralKind.BOOLEAN,
        "date": LiteralKind.DATE,
        "datetime": LiteralKind.DATETIME,
    }.get(field.type, LiteralKind.STRING)
