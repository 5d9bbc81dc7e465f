"""
Conflict policies as small functions: which of two values of one field stays.

Every policy that decides is the maximum of an order, or a union: applied in any sequence to the
same claims, it gives the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from dovetail.core import json
from dovetail.sync.canonical import is_blank
from dovetail.sync.plan import Policy

INTERNAL = "internal"
"""The origin of a value that was written here, by a handler or a person."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One side's value of a field: since when, and who put it there."""

    value: Any
    changed_at: int
    origin: str


@dataclass(frozen=True, slots=True)
class Rules:
    """
    How the conflicts of one entity are decided.

    Args:
        policy: What holds for fields without a policy of their own.
        fields: Our field -> its policy, or the platform that owns it.
        priorities: Connection id -> priority; the lower number wins a tie.
        platforms: Connection id -> platform.
    """

    policy: str = Policy.LAST_WRITE_WINS
    fields: Mapping[str, str] = field(default_factory=dict)
    priorities: Mapping[str, int] = field(default_factory=dict)
    platforms: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """Return the policy of a field."""
        return self.fields.get(name, self.policy)

    def later(self, name: str, one: Claim, other: Claim) -> Claim:
        """Return the claim that the field's order puts first; decides for every policy."""
        return max(one, other, key=lambda claim: self._order(name, claim))

    def decide(self, name: str, base: Any, ours: Claim, theirs: Claim) -> Claim | None:
        """Return what the field shall hold, or None when a person has to decide."""
        policy = self.of(name)
        if policy == Policy.MANUAL_REVIEW:
            return None
        combine = _COMBINE.get(policy)
        if combine is not None:
            value = combine(base, ours.value, theirs.value)
            first = self.later(name, ours, theirs)
            for claim in (ours, theirs):
                if claim.value == value:
                    return claim
            return Claim(value, first.changed_at, first.origin)
        return self.later(name, ours, theirs)

    def _order(self, name: str, claim: Claim) -> tuple[Any, ...]:
        policy = self.of(name)
        inside = claim.origin == INTERNAL
        first: bool
        if policy == Policy.PREFER_INTERNAL:
            first = inside
        elif policy == Policy.PREFER_EXTERNAL:
            first = not inside
        elif policy == "prefer-non-blank":
            first = not is_blank(claim.value)
        else:
            first = self.platforms.get(claim.origin) == policy
        rank = 1 if inside else -self.priorities.get(claim.origin, 0)
        return (first, claim.changed_at, rank, json.canonical(claim.value))


Combine = Callable[[Any, Any, Any], Any]


def _union(base: Any, ours: Any, theirs: Any) -> Any:
    """Keep what any side added, drop what any side removed."""
    before, one, other = _items(base), _items(ours), _items(theirs)
    kept = (one & other) | (one - before) | (other - before)
    return [json.decode(item) for item in sorted(kept)]


def _items(value: Any) -> set[bytes]:
    if is_blank(value):
        return set()
    return {json.canonical(item) for item in (value if isinstance(value, list) else [value])}


def _greatest(base: Any, ours: Any, theirs: Any) -> Any:
    del base
    return max((ours, theirs), key=_size)


def _least(base: Any, ours: Any, theirs: Any) -> Any:
    del base
    if is_blank(ours) or is_blank(theirs):
        return theirs if is_blank(ours) else ours
    return min((ours, theirs), key=_size)


def _size(value: Any) -> tuple[int, Decimal, str]:
    if is_blank(value):
        return (0, Decimal(0), "")
    try:
        return (1, Decimal(str(value)), "")
    except InvalidOperation:
        return (2, Decimal(0), str(value))


_COMBINE: dict[str, Combine] = {"union": _union, "max": _greatest, "min": _least}
