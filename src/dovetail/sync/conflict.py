"""Conflicts as records: what was decided, and what waits for a person."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dovetail.core.clock import from_micros
from dovetail.model.integration import SyncConflict
from dovetail.sync.hub import Hub
from dovetail.sync.ledger import Ledger
from dovetail.sync.link import Link
from dovetail.sync.plan import SpokePlan
from dovetail.sync.policy import INTERNAL
from dovetail.sync.reconcile import FieldConflict

PENDING = "pending-review"
RESOLVED = "resolved"
CLOSED = "closed"


def record_field_conflict(
    ledger: Ledger, link: Link, spoke: SpokePlan, hub: Hub, conflict: FieldConflict, policy: str
) -> None:
    """Record a conflict of values; one without a winner freezes the field on this link."""
    winner = conflict.winner
    made = SyncConflict(
        id=ledger.desk.ids.new(),
        business_id=link.business_id,
        integration_id=link.integration_id,
        kind="field",
        entity_type=link.entity,
        entity_id=hub.id,
        external_id=link.external_id,
        platform=spoke.platform,
        field=conflict.name,
        local_data=conflict.ours.value,
        external_data=conflict.theirs.value,
        local_changed_at=_moment(conflict.ours.changed_at),
        external_changed_at=_moment(conflict.theirs.changed_at),
        policy=policy,
        winner=None if winner is None else _name(ledger, winner.origin),
        status=PENDING if winner is None else RESOLVED,
        resolved_at=None if winner is None else ledger.now,
    )
    ledger.add(made)
    ledger.counts[link.connection_id, "conflicts"] += 1
    if winner is None:
        link.frozen[conflict.name] = made.id
        link.is_changed = True


def record_identity_conflict(
    ledger: Ledger,
    spoke: SpokePlan,
    *,
    internal_id: str | None,
    external_id: str | None,
    ours: Any,
    theirs: Any,
) -> str:
    """Record that two records claim to be one; returns the conflict's id."""
    made = SyncConflict(
        id=ledger.desk.ids.new(),
        business_id=ledger.plan.business_id,
        integration_id=ledger.plan.integration_id,
        kind="identity",
        entity_type=ledger.entity.name,
        entity_id=internal_id,
        external_id=external_id,
        platform=spoke.platform,
        local_data=ours,
        external_data=theirs,
        status=PENDING,
    )
    ledger.add(made)
    ledger.counts[spoke.connection_id, "ambiguous"] += 1
    return made.id


def close_conflict(ledger: Ledger, conflict_id: str, winner: str | None = None) -> None:
    """Close a conflict: a person decided, or the sides came to agree."""
    changes: dict[str, Any] = {"status": CLOSED, "resolved_at": ledger.now}
    if winner is not None:
        changes["winner"] = winner
    ledger.change_own(SyncConflict, conflict_id, changes)


def _name(ledger: Ledger, origin: str) -> str:
    if origin == INTERNAL:
        return INTERNAL
    spoke = ledger.route.spoke(origin)
    return spoke.platform if spoke else origin


def _moment(micros: int) -> datetime | None:
    return from_micros(micros) if micros else None
