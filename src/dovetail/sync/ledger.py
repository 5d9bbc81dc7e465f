"""
The working set of one transaction: loaded in bulk, changed in memory, written in bulk.

    load links, hubs -> absorb or push change them -> save: records, links, identities, intents,
    counters, then the events and pushes that follow
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.core.ids import Ids
from dovetail.errors import RecordMissingError
from dovetail.model.entity import Entity
from dovetail.model.integration import IntegrationMapping, SyncError
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.record_table import change_record, delete_record, insert_records
from dovetail.runtime.store.port import Tx
from dovetail.sync.counter import Counts, add_counts
from dovetail.sync.cursor import is_open
from dovetail.sync.draft import SOURCE, changed_draft, push_draft, push_key
from dovetail.sync.hub import (
    Hub,
    find_by_keys,
    forget_identity,
    load_hubs,
    nested,
    save_identities,
)
from dovetail.sync.identity import key_field, natural_key
from dovetail.sync.link import (
    ACTIVE,
    Link,
    links_by_external,
    links_by_internal,
    save_links,
)
from dovetail.sync.plan import Plans, Route, SpokePlan, SpokeRoute
from dovetail.sync.policy import Rules
from dovetail.sync.reference import References


@dataclass(frozen=True, slots=True)
class Desk:
    """What every part of the engine works with."""

    plans: Plans
    log: EventLog
    clock: Clock
    ids: Ids


class Ledger:
    """Links and records of one entity of one integration, in one transaction."""

    def __init__(self, tx: Tx, desk: Desk, route: Route) -> None:
        self.tx = tx
        self.desk = desk
        self.route = route
        self.plan = route.plan
        self.entity = route.entity
        self.now = desk.clock.now()
        self.counts: Counts = Counter()
        self.links: dict[tuple[str, str], Link] = {}
        self.hubs: dict[str, Hub] = {}
        self.by_key: dict[str, str] = {}
        self._of: dict[str, list[Link]] = {}
        self._made: list[Entity] = []
        self._drafts: list[EventDraft] = []
        self._pushes: dict[str, None] = {}
        self._removed: list[Hub] = []
        self._open: dict[str, bool] = {}
        self.references = References(tx, desk.plans, self.plan, self.entity.name)
        spokes = route.entity.spokes
        self.rules = Rules(
            policy=self.plan.policy,
            fields=self.entity.policies,
            priorities={spoke.connection_id: spoke.priority for spoke in spokes},
            platforms={spoke.connection_id: spoke.platform for spoke in spokes},
        )

    @property
    def now_micros(self) -> int:
        """This transaction's moment."""
        return to_micros(self.now)

    def load_external(self, connection_id: str, external_ids: Iterable[str]) -> None:
        """Load the links of a platform's records."""
        for link in links_by_external(self.tx, connection_id, self.entity.name, external_ids):
            self._hold(link)

    def load_internal(self, internal_ids: Iterable[str]) -> None:
        """Load records of ours with all their links."""
        wanted = [id for id in dict.fromkeys(internal_ids) if id not in self.hubs]
        if not wanted:
            return
        self.hubs |= load_hubs(
            self.tx, self.plan.integration_id, self.plan.business_id, self.entity.entity, wanted
        )
        connections = [spoke.connection_id for spoke in self.entity.spokes]
        for link in links_by_internal(self.tx, connections, self.entity.name, wanted):
            self._hold(link)

    def load_keys(self, keys: Sequence[str]) -> None:
        """Load the records of ours that natural keys belong to."""
        wanted = [key for key in dict.fromkeys(keys) if key not in self.by_key]
        found = find_by_keys(
            self.tx, self.plan.integration_id, self.plan.business_id, self.entity.entity, wanted
        )
        self.by_key |= found
        self.load_internal(found.values())

    def link(self, connection_id: str, external_id: str) -> Link | None:
        """Return a loaded link."""
        return self.links.get((connection_id, external_id))

    def links_of(self, internal_id: str, connection_id: str | None = None) -> list[Link]:
        """Return the loaded links of a record of ours, the active one first."""
        found = [
            link
            for link in self._of.get(internal_id, ())
            if link.internal_id == internal_id and connection_id in (None, link.connection_id)
        ]
        return sorted(found, key=lambda link: link.state != ACTIVE)

    def new_link(self, spoke: SpokePlan, external_id: str, internal_id: str | None) -> Link:
        """Add a link."""
        link = Link(
            connection_id=spoke.connection_id,
            entity=self.entity.name,
            external_id=external_id,
            integration_id=self.plan.integration_id,
            business_id=self.plan.business_id,
        )
        self._hold(link)
        if internal_id is not None:
            self.join(link, spoke, internal_id)
        return link

    def join(self, link: Link, spoke: SpokePlan, internal_id: str) -> None:
        """Make a link point to a record of ours, and show it to handlers as a mapping."""
        link.internal_id, link.state, link.is_changed = internal_id, ACTIVE, True
        self._of.setdefault(internal_id, []).append(link)
        self.references.linked(link)
        if link.mapping_id is not None:
            changes = {"internal_id": internal_id, "synced_at": self.now}
            self.change_own(IntegrationMapping, link.mapping_id, changes)
            return
        link.mapping_id = self.desk.ids.new()
        self.add(
            IntegrationMapping(
                id=link.mapping_id,
                business_id=self.plan.business_id,
                integration_id=self.plan.integration_id,
                internal_id=internal_id,
                external_id=link.external_id,
                platform=spoke.platform,
                entity_type=self.entity.name,
                direction=self.plan.mode.value,
                synced_at=self.now,
            )
        )

    def new_hub(self, values: dict[str, Any]) -> Hub:
        """Add a record of ours with canonical values."""
        hub = Hub(self.desk.ids.new(), self.entity.entity, None, is_new=True, is_changed=True)
        hub.changes = values
        self.hubs[hub.id] = hub
        return hub

    def rekey(self, hub: Hub) -> str | None:
        """
        Give a record the natural key of its values; return the id of one that has it already.

        Of two records with one key only the first keeps it.
        """
        name = key_field(self.entity.name)
        key = natural_key(self.entity.name, {name: hub.value(name)}) if name else None
        if key == hub.natural_key:
            return None
        if key is not None:
            self.load_keys([key])
            holder = self.by_key.get(key)
            if holder not in (None, hub.id):
                return holder
            self.by_key[key] = hub.id
        if hub.natural_key is not None and self.by_key.get(hub.natural_key) == hub.id:
            del self.by_key[hub.natural_key]
        hub.natural_key, hub.is_changed = key, True
        return None

    def remove_hub(self, hub: Hub) -> None:
        """Delete a record of ours."""
        self._removed.append(hub)
        for other in self.links_of(hub.id):
            if other.state == ACTIVE:
                self.push(other.connection_id, hub.id)
        self._tell_others(hub)

    def add(self, record: Entity) -> None:
        """Add one of the runtime's own records."""
        self._made.append(record)

    def change_own(self, entity: type[Entity], id: str, changes: dict[str, Any]) -> None:
        """Change one of the runtime's own records, unless a person removed it."""
        try:
            change_record(self.tx, entity, self.plan.business_id, id, changes, now=self.now)
        except RecordMissingError:
            for made in self._made:
                if made.id == id:
                    for name, value in changes.items():
                        setattr(made, name, value)

    def add_error(
        self,
        spoke: SpokePlan,
        error: str,
        code: str,
        *,
        internal_id: str | None,
        external_id: str | None,
    ) -> None:
        """Record that one record could not be synced."""
        self.counts[spoke.connection_id, "errors"] += 1
        self.add(
            SyncError(
                id=self.desk.ids.new(),
                business_id=self.plan.business_id,
                integration_id=self.plan.integration_id,
                entity_type=self.entity.name,
                entity_id=internal_id,
                external_id=external_id,
                platform=spoke.platform,
                error=error,
                code=code,
                timestamp=self.now,
            )
        )

    def push(self, connection_id: str, internal_id: str) -> None:
        """Ask for a look at what a connection holds of a record."""
        self._pushes[push_key(connection_id, self.entity.name, internal_id)] = None

    def drop_push(self, connection_id: str, internal_id: str) -> None:
        """Take back a push that the caller is doing already."""
        self._pushes.pop(push_key(connection_id, self.entity.name, internal_id), None)

    def refetch(self, spoke: SpokePlan, external_id: str, after: timedelta = timedelta()) -> None:
        """Ask for another look at a platform's record, once the clock has moved on."""
        due = self.now + after
        self._drafts.append(changed_draft(spoke, external_id, self.plan.business_id, due))

    def fan_out(self, hubs: Sequence[Hub]) -> None:
        """Ask for a push wherever a spoke does not hold what it should."""
        for spoke in self.entity.spokes:
            self.references.load_ours(spoke, hubs)
        for hub in hubs:
            for spoke in self.entity.spokes:
                if self.plan.writes(spoke) and self._lacks(hub, spoke):
                    self.push(spoke.connection_id, hub.id)
            self._tell_others(hub)

    def save(self, source: SpokePlan | None = None) -> None:
        """Write everything, then append the events that follow; *source* caused them."""
        self._save_hubs(source)
        save_identities(self.tx, self.plan.integration_id, self.hubs.values())
        for hub in self._removed:
            forget_identity(self.tx, self.plan.integration_id, self.entity.name, hub.id)
        save_links(self.tx, self.links.values(), self.now_micros)
        if self._made:
            insert_records(self.tx, self._made, self.now)
            self._made = []
        add_counts(self.tx, self.entity.name, self.counts)
        self.counts = Counter()
        self._drafts += self.references.save()
        self._append()

    def _tell_others(self, hub: Hub) -> None:
        """Let the tenant's other integrations look at a record that this one has changed."""
        for other in self.desk.plans.routes(self.plan.business_id, self.entity.name):
            if other.plan.integration_id == self.plan.integration_id:
                continue
            for spoke in other.entity.spokes:
                if other.plan.writes(spoke):
                    self.push(spoke.connection_id, hub.id)

    def _lacks(self, hub: Hub, spoke: SpokePlan) -> bool:
        links = self.links_of(hub.id, spoke.connection_id)
        if not links:
            return self.is_open(spoke)
        return links[0].state == ACTIVE and bool(self.lacking(links[0], hub, spoke))

    def lacking(self, link: Link, hub: Hub, spoke: SpokePlan) -> dict[str, Any]:
        """Return which of our values a linked record there should be given, and can be."""
        wanted = link.diff(hub.values(spoke.our_fields))
        return self.references.sendable(spoke, hub.id, wanted)

    def is_open(self, spoke: SpokePlan) -> bool:
        """Return whether missing records may be made there: what is there has been read."""
        found = self._open.get(spoke.connection_id)
        if found is None:
            found = not self.plan.reads(spoke) or is_open(
                self.tx, spoke.connection_id, self.entity.name
            )
            self._open[spoke.connection_id] = found
        return found

    def _hold(self, link: Link) -> None:
        if link.key in self.links:
            return
        self.links[link.key] = link
        if link.internal_id is not None:
            self._of.setdefault(link.internal_id, []).append(link)

    def _save_hubs(self, source: SpokePlan | None) -> None:
        created: list[Entity] = []
        for hub in self.hubs.values():
            if hub.is_new:
                created.append(self._build(hub))
            elif hub.changes and hub.record is not None:
                self._save_change(hub, source)
            hub.changes, hub.is_new = {}, False
        if created:
            for record in insert_records(self.tx, created, self.now):
                self.hubs[record.id].record = record
                self._tell("created", record, source)
        for hub in self._removed:
            if hub.record is not None:
                deleted = delete_record(self.tx, self.entity.entity, self.plan.business_id, hub.id)
                self._tell("deleted", deleted, source)

    def _build(self, hub: Hub) -> Entity:
        record: Entity = msgspec.convert(nested(None, hub.changes), self.entity.entity)
        record.id, record.business_id = hub.id, self.plan.business_id
        return record

    def _save_change(self, hub: Hub, source: SpokePlan | None) -> None:
        changed = change_record(
            self.tx,
            self.entity.entity,
            self.plan.business_id,
            hub.id,
            hub.record_changes(),
            now=self.now,
        )
        if changed is not None:
            hub.record = changed[1]
            self._tell("updated", changed[1], source)

    def _tell(self, what: str, record: Entity, source: SpokePlan | None) -> None:
        self._drafts.append(
            EventDraft(
                type=f"{self.entity.name}.{what}",
                key=record.id,
                payload=json.plain(record),
                business_id=self.plan.business_id,
                source=SOURCE + (source.platform if source else "engine"),
            )
        )

    def _append(self) -> None:
        drafts = self._drafts + [push_draft(key, self.plan.business_id) for key in self._pushes]
        self._drafts, self._pushes = [], {}
        if drafts:
            self.desk.log.append(self.tx, drafts)


def record_trouble(tx: Tx, desk: Desk, route: SpokeRoute, message: str, code: str) -> None:
    """Record an error of a whole spoke, whose other work goes on."""
    ledger = Ledger(tx, desk, Route(route.plan, route.entity))
    ledger.add_error(route.at, message, code, internal_id=None, external_id=None)
    ledger.save(route.at)
