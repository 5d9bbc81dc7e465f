"""Which writes a spoke needs: decided in one transaction, with the intents of its creates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dovetail.connector_sdk.record import RemoteRecord, Write
from dovetail.connector_sdk.spec import Capability, Resource
from dovetail.errors import OutcomeUnknownError
from dovetail.runtime.handler import Outcome
from dovetail.runtime.store.port import Tx
from dovetail.sync.absorb import Absorber
from dovetail.sync.breaker import is_cycling
from dovetail.sync.hub import Hub
from dovetail.sync.intent import REFUSED, SENT, Intent, load_intents, save_intents
from dovetail.sync.ledger import Desk, Ledger
from dovetail.sync.link import ACTIVE, QUARANTINED, Link
from dovetail.sync.plan import Deletes, Route, SpokePlan, SpokeRoute


@dataclass(slots=True)
class Survey:
    """
    What has to be read before anything is written.

    Attributes:
        targets: Their ids of the records that will be changed.
        creates: Our id -> natural key (or None) of the records that seem to be missing.
        outstanding: Creates that were sent and have no outcome.
        lost: The same, as they were written.
    """

    targets: list[str] = field(default_factory=list)
    creates: dict[str, str | None] = field(default_factory=dict)
    outstanding: list[Intent] = field(default_factory=list)
    lost: list[Write] = field(default_factory=list)


@dataclass(slots=True)
class Sightings:
    """
    What was read for a push: records, and which of them belongs to which of ours.

    `claimed` is their id -> our id, by key or by a create that was looked up. `unsure`: our ids
    whose create may have been made but is not visible yet.
    """

    read_at: datetime
    records: list[RemoteRecord] = field(default_factory=list)
    claimed: dict[str, str] = field(default_factory=dict)
    adopted: dict[str, tuple[str, Intent]] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Outgoing:
    """The writes of one batch; `outcomes` holds what is known already. `sent`: our values."""

    writes: list[Write] = field(default_factory=list)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)


def survey(tx: Tx, desk: Desk, route: SpokeRoute, resource: Resource, ids: Sequence[str]) -> Survey:
    """Look at what our records need on a spoke, from what we know of it."""
    ledger = Ledger(tx, desk, Route(route.plan, route.entity))
    ledger.load_internal(ids)
    spoke = route.at
    intents = load_intents(tx, spoke.connection_id, route.entity.name, ids)
    found = Survey(outstanding=[one for one in intents.values() if one.state == SENT])
    found.lost = [
        Write(
            action="create",
            key=one.internal_id,
            fields=ledger.references.outbound(spoke, one.fields),
        )
        for one in found.outstanding
    ]
    ledger.references.load_ours(spoke, ledger.hubs.values())
    key_name = spoke.fields.get(resource.key_field or "")
    for internal_id in ids:
        hub = ledger.hubs[internal_id]
        links = ledger.links_of(internal_id, spoke.connection_id)
        if links:
            link = links[0]
            wanted = hub.record is None or ledger.lacking(link, hub, spoke)
            if link.state == ACTIVE and wanted:
                found.targets.append(link.external_id)
        elif hub.record is not None and ledger.is_open(spoke):
            key = hub.value(key_name) if key_name else None
            found.creates[internal_id] = str(key) if key is not None else None
    return found


def prepare(
    tx: Tx,
    desk: Desk,
    route: SpokeRoute,
    resource: Resource,
    ids: Sequence[str],
    sightings: Sightings,
) -> Outgoing:
    """Absorb what was read, then decide the writes and record the intents of the creates."""
    return _Preparation(tx, desk, route, resource, sightings).decide(ids)


class _Preparation:
    def __init__(
        self, tx: Tx, desk: Desk, route: SpokeRoute, resource: Resource, sightings: Sightings
    ) -> None:
        self.ledger = Ledger(tx, desk, Route(route.plan, route.entity))
        self.spoke: SpokePlan = route.at
        self.resource = resource
        self.sightings = sightings
        self.outgoing = Outgoing()
        self._intents: list[Intent] = []

    def decide(self, ids: Sequence[str]) -> Outgoing:
        ledger, spoke = self.ledger, self.spoke
        ledger.load_internal(ids)
        self._absorb()
        ledger.references.load_ours(spoke, ledger.hubs.values())
        known = load_intents(ledger.tx, spoke.connection_id, ledger.entity.name, ids)
        for internal_id in ids:
            ledger.drop_push(spoke.connection_id, internal_id)
            hub = ledger.hubs[internal_id]
            links = ledger.links_of(internal_id, spoke.connection_id)
            if links and links[0].state == ACTIVE:
                if hub.record is None:
                    self._delete(links[0], hub)
                else:
                    self._update(links[0], hub)
            elif not links and hub.record is not None and ledger.is_open(spoke):
                self._create(hub, known.get(internal_id))
        save_intents(ledger.tx, spoke.connection_id, ledger.entity.name, self._intents)
        ledger.save(spoke)
        return self.outgoing

    def _absorb(self) -> None:
        ledger, spoke, seen = self.ledger, self.spoke, self.sightings
        absorber = Absorber(ledger, spoke, is_own=True)
        ledger.load_external(spoke.connection_id, [record.id for record in seen.records])
        for external_id, (internal_id, intent) in seen.adopted.items():
            absorber.adopt(external_id, internal_id, intent)
        for external_id, internal_id in seen.claimed.items():
            link = ledger.link(spoke.connection_id, external_id)
            if link is None and not ledger.links_of(internal_id, spoke.connection_id):
                ledger.new_link(spoke, external_id, internal_id)
                ledger.counts[spoke.connection_id, "linked"] += 1
        absorber.take(seen.records, seen.read_at)

    def _update(self, link: Link, hub: Hub) -> None:
        wanted = self.ledger.lacking(link, hub, self.spoke)
        if not wanted or Capability.UPDATE not in self.resource.capabilities:
            return
        if is_cycling(link, wanted, self.ledger.now_micros):
            link.state, link.is_changed = QUARANTINED, True
            self.ledger.counts[link.connection_id, "quarantined"] += 1
            self.ledger.add_error(
                self.spoke,
                f"{self.spoke.platform} {link.external_id} was written {len(link.writes)} times in "
                f"ten minutes and would not come to rest ({', '.join(sorted(wanted))}). It is left "
                "alone; find what else changes it, then ask for it again with `dovetail sync`.",
                "cycle",
                internal_id=hub.id,
                external_id=link.external_id,
            )
            return
        link.sent, link.is_changed = dict(wanted), True
        self._write("update", hub.id, wanted, link)

    def _delete(self, link: Link, hub: Hub) -> None:
        can = Capability.DELETE in self.resource.capabilities
        if can and self.ledger.plan.deletes is Deletes.PROPAGATE:
            self._write("delete", hub.id, {}, link)

    def _create(self, hub: Hub, intent: Intent | None) -> None:
        if Capability.CREATE not in self.resource.capabilities:
            return
        values = hub.values(self.spoke.our_fields)
        wanted = {name: value for name, value in values.items() if value not in (None, [], {})}
        wanted = self.ledger.references.sendable(self.spoke, hub.id, wanted)
        if not wanted or (intent is not None and _is_refused(intent, wanted)):
            return
        if hub.id in self.sightings.unsure:
            self.outgoing.outcomes[hub.id] = OutcomeUnknownError(
                f"A {self.spoke.platform} record may have been made for {self.ledger.entity.name} "
                f"{hub.id} and is not visible yet; it is looked up again before it is repeated.",
                platform=self.spoke.platform,
                operation="look_up",
            )
            return
        self._intents.append(
            Intent(internal_id=hub.id, state=SENT, intent_at=self.ledger.now_micros, fields=wanted)
        )
        self._write("create", hub.id, wanted, None)

    def _write(
        self, action: Any, internal_id: str, ours: dict[str, Any], link: Link | None
    ) -> None:
        references, spoke = self.ledger.references, self.spoke
        self.outgoing.writes.append(
            Write(
                action=action,
                key=internal_id,
                id=link.external_id if link else None,
                fields=references.outbound(spoke, ours),
                replaces=references.replaced(spoke, link, ours) if link else {},
            )
        )
        self.outgoing.sent[internal_id] = ours


def _is_refused(intent: Intent, wanted: dict[str, Any]) -> bool:
    return intent.state == REFUSED and intent.fields == wanted
