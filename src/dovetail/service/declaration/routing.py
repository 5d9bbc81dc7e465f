"""Which events go where: the rules of an event router."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

from dovetail.service.declaration.base import Declaration, part
from dovetail.service.declaration.problem import Problem, ProblemsError
from dovetail.service.declaration.value import NamesOrOne, Text, read_names

_PATTERN = re.compile(r"\*|[A-Za-z][\w-]*(\.([\w-]+|\*))*", re.ASCII)


def _read_pattern(text: str) -> str:
    if not _PATTERN.fullmatch(text):
        raise ProblemsError(
            [
                Problem(
                    (),
                    f"{text!r} is not an event pattern. "
                    "Write an event such as 'order.created', 'order.*' or '*'.",
                )
            ]
        )
    return text


def _read_patterns(value: object) -> tuple[str, ...]:
    return read_names([value] if isinstance(value, str) else value, _read_pattern)


class RoutingRule(Declaration):
    """One rule: events of these sources that match go to these destinations."""

    id: Text
    source: NamesOrOne
    destination: NamesOrOne
    events: Annotated[tuple[str, ...], BeforeValidator(_read_patterns)]
    transform: bool = False

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse a rule that can never do anything."""
        return [
            Problem((name,), "is empty: the rule would never do anything.")
            for name in ("source", "destination", "events")
            if fields.get(name) in ([], ())
        ]


class Routing(Declaration):
    """The ``routing`` part of a service."""

    rules: tuple[RoutingRule, ...]

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse a router without rules, and two rules with one id."""
        rules = fields.get("rules")
        if rules in ([], ()):
            return [Problem(("rules",), "is empty: no event would go anywhere.")]
        problems: list[Problem] = []
        seen: set[Any] = set()
        for position, rule in enumerate(rules if isinstance(rules, list | tuple) else ()):
            name = part(rule, "id")
            if isinstance(name, str):
                if name in seen:
                    problems.append(Problem(("rules", position, "id"), f"{name!r} is used twice."))
                seen.add(name)
        return problems
