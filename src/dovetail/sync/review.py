"""What waits for a person: conflicts listed, and resolved as they say."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dovetail.errors import RecordMissingError, UsageError
from dovetail.model.integration import SyncConflict
from dovetail.runtime.record_document import read_record
from dovetail.runtime.record_table import load_records
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import records
from dovetail.sync.canonical import canonical, literal
from dovetail.sync.conflict import PENDING, close_conflict
from dovetail.sync.ledger import Desk, Ledger
from dovetail.sync.link import ACTIVE, AMBIGUOUS, DETACHED, QUARANTINED, Link
from dovetail.sync.plan import Route, SpokePlan
from dovetail.sync.policy import INTERNAL, Claim
from dovetail.sync.schema import sync_links


def list_conflicts(
    tx: Tx, business_id: str, *, status: str | None = PENDING, limit: int = 100
) -> list[SyncConflict]:
    """Return a tenant's conflicts, newest first; those that wait, unless told otherwise."""
    query = sa.select(records).where(
        records.c.entity == "sync_conflict", records.c.business_id == business_id
    )
    if status is not None:
        query = query.where(tx.json_field("status", "text") == status)
    rows = tx.rows(query.order_by(records.c.id.desc()).limit(limit))
    return [read_record(SyncConflict, row) for row in rows]


def resolve_conflict(
    tx: Tx, desk: Desk, business_id: str, conflict_id: str, *, take: str, value: Any = None
) -> None:
    """
    End a conflict as a person says.

    Args:
        tx: The transaction.
        desk: What the engine works with.
        business_id: Whose conflict it is.
        conflict_id: Which one.
        take: For a field: ``internal`` keeps our value, the platform's name takes its value,
            ``value`` takes *value*. For an identity: ``separate`` makes a record of its own,
            ``ignore`` leaves the platform's record alone.
        value: With ``take="value"``, what the field shall hold.

    Raises:
        RecordMissingError: There is no such conflict.
        UsageError: It does not wait any more, or *take* is not one of its ways.
    """
    conflict = load_records(tx, SyncConflict, business_id, [conflict_id]).get(conflict_id)
    if conflict is None:
        raise RecordMissingError(
            f"There is no conflict {conflict_id} for this tenant; `dovetail conflicts` lists them.",
            id=conflict_id,
        )
    if conflict.status != PENDING:
        raise UsageError(f"Conflict {conflict_id} is {conflict.status}; nothing is left to decide.")
    route = desk.plans.route(conflict.integration_id or "", conflict.entity_type or "")
    if route is None:
        raise UsageError(f"The integration of conflict {conflict_id} is not running.")
    ledger = Ledger(tx, desk, route)
    link, spoke = _find(ledger, conflict)
    if conflict.kind == "field":
        winner = _decide_field(ledger, link, conflict, take, value)
    else:
        winner = _decide_identity(ledger, link, spoke, conflict, take)
    close_conflict(ledger, conflict_id, winner)
    ledger.save()


def release(tx: Tx, desk: Desk, route: Route, connection_id: str) -> int:
    """Give quarantined records of a spoke another chance; return how many there were."""
    spoke = route.spoke(connection_id)
    if spoke is None:
        return 0

    rows = tx.rows(
        sa.select(sync_links.c.external_id).where(
            sync_links.c.connection_id == connection_id,
            sync_links.c.entity == route.entity.name,
            sync_links.c.state == QUARANTINED,
        )
    )
    ledger = Ledger(tx, desk, route)
    ledger.load_external(connection_id, [row.external_id for row in rows])
    ledger.load_internal(link.internal_id for link in ledger.links.values() if link.internal_id)
    for link in list(ledger.links.values()):
        if link.connection_id == connection_id and link.state == QUARANTINED:
            link.state, link.writes, link.is_changed = ACTIVE, [], True
            ledger.refetch(spoke, link.external_id)
            if link.internal_id is not None:
                ledger.push(connection_id, link.internal_id)
    ledger.save()
    return len(rows)


def _find(ledger: Ledger, conflict: SyncConflict) -> tuple[Link, SpokePlan]:
    for spoke in ledger.entity.spokes:
        ledger.load_external(spoke.connection_id, [conflict.external_id or ""])
        link = ledger.link(spoke.connection_id, conflict.external_id or "")
        if link is not None and spoke.platform == conflict.platform:
            return link, spoke
    raise UsageError(f"The record of conflict {conflict.id} is not linked any more.")


def _decide_field(ledger: Ledger, link: Link, conflict: SyncConflict, take: str, value: Any) -> str:
    name = conflict.field or ""
    ledger.load_internal([link.internal_id or ""])
    hub = ledger.hubs[link.internal_id or ""]
    entity = ledger.entity.entity
    their = link.seen.get(name)
    if take == INTERNAL:
        chosen = hub.value(name)
    elif take == conflict.platform:
        chosen = canonical(entity, name, their)
    elif take == "value":
        chosen = canonical(entity, name, literal(entity, name, value))
    else:
        raise UsageError(
            f"Conflict {conflict.id} can be resolved with 'internal', {conflict.platform!r} or "
            f"'value', not {take!r}."
        )
    link.frozen.pop(name, None)
    link.settle(name, their)
    if chosen != hub.value(name):
        hub.change(name, chosen)
    hub.stamp(name, Claim(chosen, ledger.now_micros, INTERNAL))
    ledger.rekey(hub)
    ledger.fan_out([hub])
    return take


def _decide_identity(
    ledger: Ledger, link: Link, spoke: SpokePlan, conflict: SyncConflict, take: str
) -> str:
    if take not in ("separate", "ignore"):
        raise UsageError(
            f"Conflict {conflict.id} can be resolved with 'separate' or 'ignore', not {take!r}."
        )
    link.frozen.pop("*", None)
    link.is_changed = True
    if link.state != AMBIGUOUS:
        return take
    if take == "ignore":
        link.state = DETACHED
        return take
    entity = ledger.entity.entity
    values = {
        name: canonical(entity, name, value)
        for name, value in link.seen.items()
        if value is not None
    }
    hub = ledger.new_hub(values)
    ledger.join(link, spoke, hub.id)
    for name, value in link.seen.items():
        link.settle(name, value)
        hub.stamp(name, Claim(hub.value(name), link.seen_modified_at or 0, link.connection_id))
    ledger.fan_out([hub])
    return take
