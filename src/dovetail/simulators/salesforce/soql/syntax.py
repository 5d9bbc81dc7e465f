"""What a parsed query is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class LiteralKind(Enum):
    """The kinds of value a query can write."""

    STRING = "string"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NULL = "null"
    DATE = "date"
    DATETIME = "dateTime"


@dataclass(frozen=True, slots=True)
class Literal:
    """A value; times are already in the platform's own text."""

    kind: LiteralKind
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """A field or a path such as ``Account.Name``; `at` is its offset in the text."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator value``; `operator` is one of = != < <= > >= like in notin."""

    field: Name
    operator: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Both:
    """All of the parts hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the parts holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The part does not hold."""

    part: Condition


Condition = Comparison | Both | Either | Negation


@dataclass(frozen=True, slots=True)
class Ordering:
    """One field of ORDER BY."""

    field: Name
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """
    A whole query; `fields` and `children` are empty for ``COUNT()``.

    `children` are queries in its SELECT, whose object is the name of a relationship.
    """

    text: str
    fields: tuple[Name, ...]
    object_name: Name
    where: Condition | None
    order_by: tuple[Ordering, ...]
    limit: int | None
    offset: int
    children: tuple[Query, ...] = ()
