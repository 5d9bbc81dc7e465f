"""Subscription tiers: a monthly price, and the limits that come with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from dovetail.service.declaration.base import Declaration, part
from dovetail.service.declaration.problem import Problem, ProblemsError
from dovetail.service.declaration.table import Table
from dovetail.service.declaration.value import Limit, Money, Text, read_limit


def _read_includes(value: object) -> int | Table[int | None] | None:
    if not isinstance(value, Mapping):
        return read_limit(value)
    read: dict[str, int | None] = {}
    problems: list[Problem] = []
    for name, limit in value.items():
        try:
            read[str(name)] = read_limit(limit)
        except ProblemsError as exc:
            problems += [problem.under(str(name)) for problem in exc.problems]
    if problems:
        raise ProblemsError(problems)
    return Table(read)


class Tier(Declaration):
    """
    One subscription on offer.

    `includes` is what is in the price each month: a number of the units that the service counts,
    or a table of limits by name. None is no limit, there and for `platforms`.
    """

    name: Text
    price: Money
    includes: Annotated[int | Table[int | None] | None, BeforeValidator(_read_includes)]
    platforms: Limit = None


class SubscriptionOffer(Declaration):
    """Tiers that may be chosen in place of paying by use."""

    tiers: tuple[Tier, ...]

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse a subscription without tiers, and two tiers of one name."""
        return check_tiers(fields.get("tiers"))


def check_tiers(tiers: object) -> list[Problem]:
    """Return what is wrong between the tiers, as given."""
    if not isinstance(tiers, list | tuple):
        return []
    if not tiers:
        return [Problem(("tiers",), "is empty: there is nothing to subscribe to.")]
    problems: list[Problem] = []
    seen: set[Any] = set()
    for position, tier in enumerate(tiers):
        name = part(tier, "name")
        if isinstance(name, str):
            if name in seen:
                problems.append(Problem(("tiers", position, "name"), f"{name!r} is used twice."))
            seen.add(name)
    return problems
