"""Records that end on a platform: deleted, or folded into another one."""

from __future__ import annotations

from dovetail.connector_sdk.record import RemoteRecord
from dovetail.core.clock import to_micros
from dovetail.model.integration import SyncConflict
from dovetail.sync.conflict import RESOLVED, close_conflict, record_identity_conflict
from dovetail.sync.hub import Hub
from dovetail.sync.ledger import Ledger
from dovetail.sync.link import ACTIVE, GONE, MERGED, Link
from dovetail.sync.plan import Deletes, SpokePlan


def absorb_gone(
    ledger: Ledger,
    spoke: SpokePlan,
    record: RemoteRecord,
    link: Link | None,
    *,
    is_probe: bool = False,
) -> None:
    """
    Take over a deletion.

    A tombstone may be old news. A probe is not: the record was asked for and is not there, so
    its time is that of our own clock and is not compared with the platform's.
    """
    if link is None or link.state in (MERGED, GONE):
        return
    modified = to_micros(record.modified_at)
    if not is_probe:
        if modified < (link.seen_modified_at or 0):
            ledger.counts[spoke.connection_id, "stale"] += 1
            return
        link.seen_modified_at = modified
    was_active = link.state == ACTIVE
    link.state, link.is_changed = GONE, True
    ledger.counts[spoke.connection_id, "gone"] += 1
    for conflict_id in link.frozen.values():
        close_conflict(ledger, conflict_id)
    link.frozen = {}
    hub = ledger.hubs.get(link.internal_id or "")
    propagates = ledger.plan.deletes is Deletes.PROPAGATE and ledger.plan.reads(spoke)
    if not was_active or not propagates or hub is None or hub.record is None:
        return
    if link.diff(hub.values(spoke.our_fields)):
        keep_edited(ledger, spoke, link, hub)
        return
    ledger.remove_hub(hub)


def absorb_merge(
    ledger: Ledger, spoke: SpokePlan, record: RemoteRecord, link: Link | None
) -> str | None:
    """
    Redirect a link whose record was folded into another.

    Where both were linked, to different records of ours, the survivor's link stays and a person
    is told: nothing is deleted here because of a merge there.
    """
    survivor_id = record.merged_into or ""
    if link is None or link.state == MERGED:
        return None
    survivor = ledger.link(spoke.connection_id, survivor_id)
    internal_id = link.internal_id
    link.state, link.merged_into, link.is_changed = MERGED, survivor_id, True
    ledger.refetch(spoke, survivor_id)
    if internal_id is None:
        return None
    if survivor is None or survivor.internal_id is None:
        link.internal_id = None
        if survivor is None:
            survivor = ledger.new_link(spoke, survivor_id, internal_id)
        else:
            if (conflict_id := survivor.frozen.pop("*", None)) is not None:
                close_conflict(ledger, conflict_id)
            ledger.join(survivor, spoke, internal_id)
        survivor.base, survivor.base_ours = dict(link.base), dict(link.base_ours)
        return internal_id
    if survivor.internal_id != internal_id:
        hub, kept = ledger.hubs[internal_id], ledger.hubs[survivor.internal_id]
        record_identity_conflict(
            ledger,
            spoke,
            internal_id=internal_id,
            external_id=survivor_id,
            ours=hub.values(spoke.our_fields),
            theirs=kept.values(spoke.our_fields),
        )
    return None


def keep_edited(ledger: Ledger, spoke: SpokePlan, link: Link, hub: Hub) -> None:
    """
    Record that a deletion stops here.

    Somebody changed the record after the deleting side last saw it: what they wrote stays.
    """
    ledger.add(
        SyncConflict(
            id=ledger.desk.ids.new(),
            business_id=link.business_id,
            integration_id=link.integration_id,
            kind="delete",
            entity_type=link.entity,
            entity_id=hub.id,
            external_id=link.external_id,
            platform=spoke.platform,
            local_data=hub.values(spoke.our_fields),
            policy="an edit outlives a delete",
            winner="internal",
            status=RESOLVED,
            resolved_at=ledger.now,
        )
    )
    ledger.counts[link.connection_id, "conflicts"] += 1
