"""
The three-way compare of base, ours and theirs, field by field. Pure: no I/O, no clock.

All values are canonical (see `dovetail.sync.canonical`). A missing key is "not told"; None is
"no value".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from dovetail.sync.canonical import is_blank
from dovetail.sync.policy import Claim, Rules

_NEVER = object()


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """Two different values for one field; `winner` is None when a person has to decide."""

    name: str
    ours: Claim
    theirs: Claim
    winner: Claim | None


@dataclass(slots=True)
class Decision:
    """
    What follows from looking at one record of one platform.

    Attributes:
        changes: Field -> the value that our record shall take.
        claims: Field -> the claim that now stands for our value.
        settled: Fields on which their value is the new base.
        conflicts: What both sides had changed.
        agreed: Frozen fields on which the sides now agree.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    conflicts: list[FieldConflict] = field(default_factory=list)
    agreed: set[str] = field(default_factory=set)


def reconcile(
    *,
    base: Mapping[str, Any],
    base_ours: Mapping[str, Any],
    ours: Mapping[str, Claim],
    theirs: Mapping[str, Claim],
    rules: Rules,
    frozen: Collection[str] = (),
) -> Decision:
    """
    Compare one record of ours with one of a platform.

    Args:
        base: Field -> their value at the last agreement; a missing field was never agreed on.
        base_ours: Field -> our value at that agreement, where it differed from theirs.
        ours: Field -> our value with its stamp.
        theirs: Field -> the value that the platform tells, with its time.
        rules: Who wins.
        frozen: Fields that wait for a person.
    """
    decision = Decision()
    for name, their in theirs.items():
        our = ours[name]
        if name in frozen:
            if our.value == their.value:
                decision.agreed.add(name)
                decision.settled.add(name)
            continue
        before = base.get(name, _NEVER)
        if before is not _NEVER and their.value == before:
            continue
        if before is _NEVER:
            _meet(decision, name, our, their, rules)
        elif our.value == their.value:
            _agree(decision, name, our, their, rules)
        elif our.value == base_ours.get(name, before):
            _take(decision, name, their)
        else:
            _contest(decision, name, before, our, their, rules)
    return decision


def _meet(decision: Decision, name: str, our: Claim, their: Claim, rules: Rules) -> None:
    # No base: a first link, or a field newly mapped. Nobody knows what changed, so a blank is
    # taken for "not filled in yet" and yields.
    if our.value == their.value:
        _agree(decision, name, our, their, rules)
    elif is_blank(our.value):
        _take(decision, name, their)
    elif is_blank(their.value):
        decision.settled.add(name)
    else:
        _contest(decision, name, None, our, their, rules)


def _agree(decision: Decision, name: str, our: Claim, their: Claim, rules: Rules) -> None:
    decision.settled.add(name)
    if not is_blank(our.value) or our.changed_at:
        decision.claims[name] = rules.later(name, our, their)


def _take(decision: Decision, name: str, their: Claim) -> None:
    decision.settled.add(name)
    decision.changes[name] = their.value
    decision.claims[name] = their


def _contest(
    decision: Decision, name: str, before: Any, our: Claim, their: Claim, rules: Rules
) -> None:
    winner = rules.decide(name, before, our, their)
    decision.conflicts.append(FieldConflict(name, our, their, winner))
    if winner is None:
        return
    decision.settled.add(name)
    decision.claims[name] = winner
    if winner.value != our.value:
        decision.changes[name] = winner.value
