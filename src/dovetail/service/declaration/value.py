"""The kinds of values that declarations hold: money, limits, names, lists of names, durations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import BeforeValidator, PlainSerializer

from dovetail.core.duration import UNITS, format_duration, parse_duration
from dovetail.errors import ConfigError
from dovetail.service.declaration.problem import (
    Problem,
    ProblemsError,
    kind_of,
    refuse,
    unknown,
)
from dovetail.service.entity_catalog import ENTITY_NAMES, find_entity, plural
from dovetail.service.platform_catalog import is_platform, platform_names
from dovetail.service.spelling import closest

C = TypeVar("C", bound=StrEnum)

_NO_LIMIT = frozenset({"unlimited", "infinity", ".inf", "inf", "none", "no limit"})
_MOST_DIGITS = 15
"""Digits on either side of the point of an amount: beyond any price, well inside Decimal."""


def read_money(value: object) -> Decimal:
    """
    Return an amount exactly as written; a float is read by its shortest decimal form.

    Raises:
        ProblemsError: Not a number, negative, or not a sensible amount.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise refuse(f"must be an amount such as 0.01, not {kind_of(value)}.")
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation as exc:
        raise refuse(f"must be an amount such as 0.01, not {kind_of(value)}.") from exc
    if not amount.is_finite():
        raise refuse(f"must be an amount such as 0.01, not {value}.")
    if amount < 0:
        raise refuse(f"must not be negative, and is {value}.")
    digits = amount.as_tuple()
    if isinstance(digits.exponent, int) and (
        digits.exponent < -_MOST_DIGITS or (amount and amount.adjusted() >= _MOST_DIGITS)
    ):
        raise refuse(f"has more than {_MOST_DIGITS} digits before or after the point: {value}.")
    return amount


def read_limit(value: object) -> int | None:
    """
    Return a whole number, or None for no limit (Infinity, None, "unlimited", .inf).

    Raises:
        ProblemsError: Neither.
    """
    wanted = 'a whole number, or no limit (Infinity, None or "unlimited")'
    if value is None or (isinstance(value, str) and value.strip().lower() in _NO_LIMIT):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise refuse(f"must be {wanted}, not {kind_of(value)}.")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation as exc:
        raise refuse(f"must be {wanted}, not {kind_of(value)}.") from exc
    if number.is_infinite() and number > 0:
        return None
    if not number.is_finite() or number != number.to_integral_value() or number.adjusted() > 18:
        raise refuse(f"must be {wanted}, not {value}.")
    if number < 0:
        raise refuse(f"must not be negative, and is {value}.")
    return int(number)


def _read_period(value: object) -> timedelta:
    try:
        period = parse_duration(value)
    except ConfigError as exc:
        word = "".join(letter for letter in str(value) if letter.isalpha())
        raise ProblemsError([Problem((), exc.message, (), closest(word, UNITS))]) from exc
    if period < timedelta(seconds=1):
        raise refuse(f"must be at least one second, and is {format_duration(period)}.")
    return period


def _read_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise refuse(f"must be a text that is not empty, not {kind_of(value)}.")
    return value.strip()


def choice(options: type[C], noun: str) -> Callable[[object], C]:
    """Return the reader of one of *options*."""

    def read(value: object) -> C:
        allowed = tuple(options)
        if isinstance(value, str) and value in allowed:
            return options(value)
        raise ProblemsError([unknown(str(value), noun, allowed)])

    return read


def read_names(value: object, read: Callable[[str], str]) -> tuple[str, ...]:
    """
    Read a list of names that must differ.

    Raises:
        ProblemsError: With one problem per wrong name, at its position.
    """
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise refuse(f"must be a list, not {kind_of(value)}.")
    names: list[str] = []
    problems: list[Problem] = []
    for position, item in enumerate(value):
        try:
            name = read(_read_text(item))
        except ProblemsError as exc:
            problems += [problem.under(position) for problem in exc.problems]
            continue
        if name in names:
            problems.append(Problem((position,), f"{item!r} is listed twice."))
        names.append(name)
    if problems:
        raise ProblemsError(problems)
    return tuple(names)


def read_platform(name: str) -> str:
    """
    Return the name of a platform that exists.

    Raises:
        ProblemsError: It does not.
    """
    return name if is_platform(name) else _one_of(name, "a platform", platform_names())


def read_entity(name: str) -> str:
    """
    Return the plural of an entity that exists.

    Raises:
        ProblemsError: It does not.
    """
    entity = find_entity(name)
    if entity is None:
        raise ProblemsError([unknown(name, "an entity", ENTITY_NAMES)])
    return plural(entity)


def _one_of(name: str, noun: str, allowed: Iterable[str]) -> str:
    names = tuple(allowed)
    if name not in names:
        raise ProblemsError([unknown(name, noun, names)])
    return name


def _same(name: str) -> str:
    return name


def _names_or_one(value: object) -> tuple[str, ...]:
    return read_names([value] if isinstance(value, str) else value, _same)


Money = Annotated[Decimal, BeforeValidator(read_money)]
Limit = Annotated[int | None, BeforeValidator(read_limit)]
Period = Annotated[
    timedelta,
    BeforeValidator(_read_period),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
Text = Annotated[str, BeforeValidator(_read_text)]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda value: read_names(value, _same))]
NamesOrOne = Annotated[tuple[str, ...], BeforeValidator(_names_or_one)]
Platforms = Annotated[tuple[str, ...], BeforeValidator(lambda v: read_names(v, read_platform))]
EntityNames = Annotated[tuple[str, ...], BeforeValidator(lambda v: read_names(v, read_entity))]
