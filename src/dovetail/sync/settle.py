"""One linked record of a platform against ours: what the three-way compare decides is applied."""

from __future__ import annotations

from typing import Any

from dovetail.sync.breaker import note_write
from dovetail.sync.canonical import canonical, equivalent
from dovetail.sync.conflict import close_conflict, record_field_conflict
from dovetail.sync.hub import Hub
from dovetail.sync.ledger import Ledger
from dovetail.sync.link import Link
from dovetail.sync.plan import Policy, SpokePlan
from dovetail.sync.policy import INTERNAL, Claim
from dovetail.sync.reconcile import Decision, FieldConflict, reconcile


def settle(
    ledger: Ledger, spoke: SpokePlan, link: Link, hub: Hub, theirs: dict[str, Any], modified: int
) -> bool:
    """
    Apply what a platform tells of a linked record; return whether anybody must be told.

    Args:
        ledger: The working set.
        spoke: Whose record it is.
        link: Its link.
        hub: Our record.
        theirs: Our field -> their literal value.
        modified: When the platform says that it was modified, in microseconds.
    """
    _confirm_sent(ledger, link, theirs)
    _report_reverted(ledger, spoke, link, hub, theirs, modified)
    link.seen_modified_at = max(modified, link.seen_modified_at or 0)
    link.seen.update(theirs)
    link.is_changed = True
    if not ledger.plan.reads(spoke):
        return _note(link, hub, spoke, theirs)
    if not link.frozen and not hub.is_new and _is_echo(link, theirs):
        ledger.counts[link.connection_id, "echoes"] += 1
        return bool(link.diff(hub.values(spoke.our_fields)))
    entity = ledger.entity.entity
    hub.stamp_all(spoke.our_fields)
    decision = reconcile(
        base={name: canonical(entity, name, value) for name, value in link.base.items()},
        base_ours=link.base_ours,
        ours={name: hub.claim(name) for name in theirs},
        theirs={
            name: Claim(canonical(entity, name, value), modified, link.connection_id)
            for name, value in theirs.items()
        },
        rules=ledger.rules,
        frozen=link.frozen,
    )
    _apply(ledger, spoke, link, hub, theirs, decision)
    return True


def _apply(
    ledger: Ledger,
    spoke: SpokePlan,
    link: Link,
    hub: Hub,
    theirs: dict[str, Any],
    decision: Decision,
) -> None:
    for conflict in decision.conflicts:
        _record(ledger, link, spoke, hub, conflict)
    for name in decision.settled:
        link.settle(name, theirs[name])
    for name, value in theirs.items():
        # The same value in another spelling: ours is written back once.
        if name not in link.frozen and name in link.base and link.base[name] != value:
            link.settle(name, value)
    for name in decision.agreed:
        close_conflict(ledger, link.frozen.pop(name))
    for name, value in decision.changes.items():
        hub.change(name, value)
    for name, claim in decision.claims.items():
        hub.stamp(name, claim)
    if decision.changes and not hub.is_new:
        ledger.counts[link.connection_id, "updated"] += 1


def _confirm_sent(ledger: Ledger, link: Link, theirs: dict[str, Any]) -> None:
    """Take values that we sent, and have no answer for, as agreed once they are seen there."""
    entity = ledger.entity.entity
    confirmed: dict[str, Any] = {}
    for name, value in list(link.sent.items()):
        if name not in theirs or (name in link.base and theirs[name] == link.base[name]):
            continue
        if equivalent(entity, name, value, theirs[name]):
            link.settle(name, theirs[name], value)
            confirmed[name] = link.sent.pop(name)
    if confirmed:
        note_write(link, confirmed, ledger.now_micros)


def _report_reverted(
    ledger: Ledger, spoke: SpokePlan, link: Link, hub: Hub, theirs: dict[str, Any], modified: int
) -> None:
    """
    Record a conflict where a write without an answer may have been undone there.

    The field holds what it held before, and yet the record was modified since: either our write
    was lost, or somebody took its value back. Ours is written again, and a person can see it.
    """
    if not link.sent or modified <= (link.seen_modified_at or 0):
        return
    entity = ledger.entity.entity
    for name, value in list(link.sent.items()):
        their = theirs.get(name)
        if name in link.frozen or name not in theirs or link.base.get(name, value) != their:
            continue
        ours = hub.claim(name)
        if equivalent(entity, name, value, their) or ours.value != canonical(entity, name, value):
            continue
        del link.sent[name]
        claim = Claim(canonical(entity, name, their), modified, link.connection_id)
        _record(ledger, link, spoke, hub, FieldConflict(name, ours, claim, ours))


def _note(link: Link, hub: Hub, spoke: SpokePlan, theirs: dict[str, Any]) -> bool:
    """Remember what a spoke holds that is only written to."""
    for name, value in theirs.items():
        if name not in link.base or link.base[name] != value:
            link.settle(name, value)
    return bool(link.diff(hub.values(spoke.our_fields)))


def _is_echo(link: Link, theirs: dict[str, Any]) -> bool:
    return all(name in link.base and link.base[name] == value for name, value in theirs.items())


def _record(
    ledger: Ledger, link: Link, spoke: SpokePlan, hub: Hub, conflict: FieldConflict
) -> None:
    # Two platforms' values are decided by time even where the policy names a side.
    policy = ledger.rules.of(conflict.name)
    sides = (Policy.PREFER_EXTERNAL, Policy.PREFER_INTERNAL)
    if policy in sides and conflict.ours.origin != INTERNAL:
        policy = Policy.LAST_WRITE_WINS
    record_field_conflict(ledger, link, spoke, hub, conflict, str(policy))
