"""Where a sync stands, spoke by spoke: for progress and for the final table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from dovetail.core.clock import from_micros
from dovetail.model.integration import SyncConflict
from dovetail.runtime.record_document import read_record
from dovetail.runtime.refusal import list_refusals
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import OPEN, SCHEDULED, deliveries, events, records
from dovetail.sync.conflict import PENDING
from dovetail.sync.counter import read_counts
from dovetail.sync.draft import PUSH, REFER
from dovetail.sync.link import QUARANTINED
from dovetail.sync.plan import Plans, SpokeRoute
from dovetail.sync.schema import sync_cursors, sync_links, sync_references


@dataclass(frozen=True, slots=True)
class SpokeStatus:
    """
    One connection's records of one entity.

    `counts` has the numbers of `dovetail.sync.counter.NAMES`; `links` is state -> how many.
    `is_caught_up`: everything that it holds has been read at least once. `refused`: why the
    platform does not accept the connection's credentials, while that is so. `waiting_references`:
    how many of its references have a target that is not linked.
    """

    integration_id: str
    business_id: str
    connection_id: str
    platform: str
    entity: str
    counts: dict[str, int]
    links: dict[str, int]
    pending_conflicts: int
    pending_pushes: int
    total: int | None
    read_at: datetime | None
    is_caught_up: bool
    refused: str | None = None
    waiting_references: int = 0

    @property
    def quarantined(self) -> int:
        """How many records are left alone because they would not come to rest."""
        return self.links.get(QUARANTINED, 0)


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Every spoke of every plan."""

    spokes: list[SpokeStatus] = field(default_factory=list)

    @property
    def is_settled(self) -> bool:
        """Whether everything was read once and nothing waits to be written."""
        return all(one.is_caught_up and not one.pending_pushes for one in self.spokes)


def read_status(tx: Tx, plans: Plans) -> SyncStatus:
    """Return where every spoke stands."""
    counts = read_counts(tx)
    cursors = {(row.connection_id, row.entity): row for row in tx.rows(sa.select(sync_cursors))}
    links = _count_links(tx)
    pushes = _count_pushes(tx)
    references = _count_references(tx)
    refusals = list_refusals(tx)
    conflicts = _count_conflicts(tx, {plan.business_id for plan in plans.all})
    found: list[SpokeStatus] = []
    for route in plans.spokes():
        key = (route.at.connection_id, route.entity.name)
        cursor = cursors.get(key)
        reads = route.plan.reads(route.at)
        refusal = refusals.get(route.at.connection_id)
        found.append(
            SpokeStatus(
                integration_id=route.plan.integration_id,
                business_id=route.plan.business_id,
                connection_id=route.at.connection_id,
                platform=route.at.platform,
                entity=route.entity.name,
                counts=counts.get(key, {}),
                links=links.get(key, {}),
                pending_conflicts=conflicts[_conflict_key(route)],
                pending_pushes=pushes[key],
                total=cursor.total if cursor else None,
                read_at=from_micros(cursor.updated_at) if cursor else None,
                is_caught_up=not reads or bool(cursor and cursor.caught_up_at),
                refused=refusal.why if refusal is not None else None,
                waiting_references=references[key],
            )
        )
    return SyncStatus(found)


def _count_links(tx: Tx) -> dict[tuple[str, str], dict[str, int]]:
    table = sync_links.c
    found: dict[tuple[str, str], dict[str, int]] = {}
    for row in tx.rows(
        sa.select(
            table.connection_id, table.entity, table.state, sa.func.count().label("number")
        ).group_by(table.connection_id, table.entity, table.state)
    ):
        found.setdefault((row.connection_id, row.entity), {})[row.state] = row.number
    return found


def _count_pushes(tx: Tx) -> Counter[tuple[str, str]]:
    """Count the records that wait, not the events: those of one record are one push."""
    waiting = tx.rows(
        sa.select(events.c.key)
        .distinct()
        .join(deliveries, deliveries.c.event_seq == events.c.seq)
        .where(deliveries.c.handler.in_((PUSH, REFER)), deliveries.c.status.in_((OPEN, SCHEDULED)))
    )
    found: Counter[tuple[str, str]] = Counter()
    for row in waiting:
        connection_id, entity, _ = row.key.split(":", 2)
        found[connection_id, entity] += 1
    return found


def _count_references(tx: Tx) -> Counter[tuple[str, str]]:
    table = sync_references.c
    query = sa.select(table.connection_id, table.entity, sa.func.count().label("number"))
    rows = tx.rows(query.group_by(table.connection_id, table.entity))
    return Counter({(row.connection_id, row.entity): row.number for row in rows})


def _count_conflicts(tx: Tx, tenants: set[str]) -> Counter[tuple[str | None, ...]]:
    rows = tx.rows(
        sa.select(records).where(
            records.c.entity == "sync_conflict",
            records.c.business_id.in_(sorted(tenants)),
            tx.json_field("status", "text") == PENDING,
        )
    )
    held = [read_record(SyncConflict, row) for row in rows]
    return Counter((one.integration_id, one.platform, one.entity_type) for one in held)


def _conflict_key(route: SpokeRoute) -> tuple[str | None, ...]:
    return (route.plan.integration_id, route.at.platform, route.entity.name)
