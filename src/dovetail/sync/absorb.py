"""
The inbound half: what platforms tell becomes links, changes of our records, and pushes.

Pure database work inside the caller's transaction::

    records -> known link? -> echo | three-way compare -> our record changes -> push to the others
            -> no link     -> an intent of ours? a natural key? -> link, ambiguous, or a new record
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dovetail.connector_sdk.record import RemoteRecord
from dovetail.core.clock import to_micros
from dovetail.runtime.store.port import Tx
from dovetail.sync.canonical import equivalent, literal
from dovetail.sync.conflict import close_conflict, record_identity_conflict
from dovetail.sync.hub import Hub, fits
from dovetail.sync.identity import natural_key
from dovetail.sync.intent import SENT, Intent, load_intents, remove_intents
from dovetail.sync.ledger import Desk, Ledger
from dovetail.sync.link import ACTIVE, AMBIGUOUS, DETACHED, GONE, MERGED, QUARANTINED, Link
from dovetail.sync.merge import absorb_gone, absorb_merge, keep_edited
from dovetail.sync.plan import Deletes, Route, SpokePlan, SpokeRoute
from dovetail.sync.reference import Told
from dovetail.sync.settle import settle

MAX_RECORDS = 200
"""Records per transaction: enough to share its cost, few enough not to hold up the others."""

_SKEW_MICROS = 300_000_000
_ANSWER_WAIT = timedelta(seconds=10)
"""How soon a record is looked at again that a create without an answer may have made."""


@dataclass(frozen=True, slots=True)
class AbsorbReport:
    """What absorbing some records came to."""

    seen: int = 0
    created: int = 0
    linked: int = 0
    updated: int = 0
    echoes: int = 0


def absorb(
    tx: Tx, desk: Desk, route: SpokeRoute, records: Sequence[RemoteRecord], read_at: datetime
) -> AbsorbReport:
    """
    Take over what a connection tells, within *tx*.

    Args:
        tx: The transaction; commit the cursor of the records in it too.
        desk: What the engine works with.
        route: Whose records these are.
        records: As read; the same one may come again, and late.
        read_at: When the read was begun. Whatever we wrote after that is not undone by it.
    """
    ledger = Ledger(tx, desk, Route(route.plan, route.entity))
    absorber = Absorber(ledger, route.at)
    absorber.take(records, read_at)
    counts = ledger.counts
    of = route.at.connection_id
    report = AbsorbReport(
        **{name: counts[of, name] for name in ("seen", "created", "linked", "updated", "echoes")}
    )
    ledger.save(route.at)
    return report


class Absorber:
    """
    Absorbs records of one spoke into a ledger; the caller saves it.

    Args:
        ledger: The working set.
        spoke: Whose records come.
        is_own: They are read for a write of ours, so they do not count as sightings.
    """

    def __init__(self, ledger: Ledger, spoke: SpokePlan, *, is_own: bool = False) -> None:
        self.ledger = ledger
        self.spoke = spoke
        self._is_own = is_own
        self._intents: dict[str, Intent] = {}

    def take(self, records: Sequence[RemoteRecord], read_at: datetime) -> None:
        """Absorb records in order."""
        before = dict(self.ledger.counts)
        self._load(records)
        read_micros = to_micros(read_at)
        touched: dict[str, None] = {}
        for record in records:
            internal_id = self._take_one(record, read_micros)
            if internal_id is not None:
                touched[internal_id] = None
        hubs = [self.ledger.hubs[internal_id] for internal_id in touched]
        hubs = [hub for hub in hubs if hub.record is not None or hub.is_new]
        for hub in hubs:
            self._rekey(hub.id)
        self.ledger.fan_out(hubs)
        if self._is_own:
            for name in ("seen", "echoes", "stale"):
                key = (self.spoke.connection_id, name)
                self.ledger.counts[key] = before.get(key, 0)

    def _load(self, records: Sequence[RemoteRecord]) -> None:
        ledger, connection_id = self.ledger, self.spoke.connection_id
        ids = [record.id for record in records]
        ids += [record.merged_into for record in records if record.merged_into]
        ledger.load_external(connection_id, ids)
        ledger.references.load_theirs(self.spoke, [one.fields for one in records])
        linked = (ledger.link(connection_id, external_id) for external_id in ids)
        ledger.load_internal(link.internal_id for link in linked if link and link.internal_id)
        unknown = [record for record in records if self._is_unmatched(record)]
        if not unknown:
            return
        keys = (self._key(self.read(record)) for record in unknown)
        ledger.load_keys([key for key in keys if key])
        intents = load_intents(ledger.tx, connection_id, ledger.entity.name)
        self._intents = {id: one for id, one in intents.items() if one.state == SENT}
        ledger.load_internal(self._intents)

    def _is_unmatched(self, record: RemoteRecord) -> bool:
        link = self.ledger.link(self.spoke.connection_id, record.id)
        return link is None or link.state == AMBIGUOUS

    def _take_one(self, record: RemoteRecord, read_micros: int) -> str | None:
        """Absorb one record; return the id of ours when it may have to be pushed."""
        ledger, spoke = self.ledger, self.spoke
        ledger.counts[spoke.connection_id, "seen"] += 1
        link = ledger.link(spoke.connection_id, record.id)
        is_merged = bool(record.merged_into) and record.merged_into != record.id
        if is_merged or record.deleted:
            return self._take_ended(record, link, read_micros, is_merged=is_merged)
        if link is not None:
            ledger.references.linked(link)
            if self._is_settled(link, record, read_micros):
                return None
        theirs = self._values(record, link)
        modified = to_micros(record.modified_at)
        if link is None or link.state == AMBIGUOUS:
            if link is None and self._may_be_of_create(record, theirs):
                # Somebody edited it before its answer came: the answer tells whose it is.
                ledger.refetch(spoke, record.id, after=_ANSWER_WAIT)
                return None
            link = self._match(record, link, theirs)
            if link.internal_id is None:
                theirs |= self._refer(record, link, None)
                link.seen, link.seen_modified_at, link.is_changed = theirs, modified, True
                return None
        if link.state == GONE:
            link.state, link.is_changed = ACTIVE, True
        hub = ledger.hubs[link.internal_id or ""]
        theirs |= self._refer(record, link, hub)
        if hub.record is None and not hub.is_new:
            self._part(link, hub, theirs)
            return None
        changed = settle(ledger, spoke, link, hub, theirs, modified)
        return hub.id if changed else None

    def _take_ended(
        self, record: RemoteRecord, link: Link | None, read_micros: int, *, is_merged: bool
    ) -> str | None:
        ledger, spoke = self.ledger, self.spoke
        ledger.references.ended(spoke.connection_id, record.id)
        if is_merged:
            return absorb_merge(ledger, spoke, record, link)
        is_probe = to_micros(record.modified_at) == read_micros
        absorb_gone(ledger, spoke, record, link, is_probe=is_probe)
        return None

    def _part(self, link: Link, hub: Hub, theirs: dict[str, Any]) -> None:
        """Our record was deleted: an unchanged one waits to be deleted too, if that is wanted."""
        changed = any(link.base.get(name) != value for name, value in theirs.items())
        if self.ledger.plan.deletes is Deletes.PROPAGATE:
            if not changed:
                return
            keep_edited(self.ledger, self.spoke, link, hub)
        link.state, link.is_changed = DETACHED, True

    def _is_settled(self, link: Link, record: RemoteRecord, read_micros: int) -> bool:
        """Return whether the record is none of our business, or older than what we know."""
        if link.state in (MERGED, DETACHED, QUARANTINED):
            return True
        modified, seen = to_micros(record.modified_at), link.seen_modified_at
        if seen is None or modified > seen:
            return False
        if modified < seen:
            self.ledger.counts[link.connection_id, "stale"] += 1
            return True
        if link.state == GONE:
            return True
        written = link.last_written_at
        if written is None or written < read_micros or link.state != ACTIVE:
            return False
        # Read before our last write came through, and the platform's clock cannot tell the two
        # apart. If it shows anything else than we know, look again instead of guessing.
        values = self.read(record) | self._told(record, link, None).values
        if any(link.seen.get(name) != value for name, value in values.items()):
            self.ledger.refetch(self.spoke, record.id)
        self.ledger.counts[link.connection_id, "stale"] += 1
        return True

    def _refer(self, record: RemoteRecord, link: Link, hub: Hub | None) -> dict[str, Any]:
        """Return what the record points to, as our ids; what is not linked yet is waited for."""
        told = self._told(record, link, hub)
        self.ledger.references.note(self.spoke, link, told)
        return dict(told.values)

    def _told(self, record: RemoteRecord, link: Link, hub: Hub | None) -> Told:
        held = {
            name: [link.base.get(name), link.sent.get(name), hub.value(name) if hub else None]
            for name in self.spoke.references
        }
        lasting = {
            name
            for name, (base, _, ours) in held.items()
            if ours is not None and ours == base and name not in link.sent
        }
        return self.ledger.references.told(self.spoke, record.fields, held, lasting=lasting)

    def read(self, record: RemoteRecord) -> dict[str, Any]:
        """Return the literal values that our fields can hold, references apart."""
        entity = self.ledger.entity.entity
        values: dict[str, Any] = {}
        for their_name, our_name in self.spoke.fields.items():
            if their_name not in record.fields or our_name in self.spoke.references:
                continue
            try:
                value = literal(entity, our_name, record.fields[their_name])
            except ValueError:
                continue
            if value is None or isinstance(value, str) or fits(entity, our_name, value):
                values[our_name] = value
        return values

    def _values(self, record: RemoteRecord, link: Link | None) -> dict[str, Any]:
        """As `read`; the first sight of a value that cannot be held is recorded."""
        values = self.read(record)
        for their_name, our_name in self.spoke.fields.items():
            if our_name in self.spoke.references:
                continue
            if their_name in record.fields and our_name not in values:
                if link is not None and link.seen_modified_at == to_micros(record.modified_at):
                    continue
                self.ledger.add_error(
                    self.spoke,
                    f"{their_name} holds {record.fields[their_name]!r}, which {our_name} cannot "
                    "hold. Change it there, or map the field to another one; the rest is synced.",
                    "value-does-not-fit",
                    internal_id=link.internal_id if link else None,
                    external_id=record.id,
                )
        return values

    def _key(self, values: dict[str, Any]) -> str | None:
        return natural_key(self.ledger.entity.name, values)

    def _match(self, record: RemoteRecord, link: Link | None, theirs: dict[str, Any]) -> Link:
        """Find the record of ours that this is, or make it; return its link."""
        ledger, spoke = self.ledger, self.spoke
        found = self._by_intent(record, theirs)
        key = self._key(theirs)
        if found is None and key is not None:
            found = ledger.by_key.get(key)
        if found is not None and ledger.links_of(found, spoke.connection_id):
            return self._mark_ambiguous(record, link, found, theirs)
        if found is None and not ledger.plan.reads(spoke):
            return link or ledger.new_link(spoke, record.id, None)
        name = "linked" if found is not None else "created"
        ledger.counts[spoke.connection_id, name] += 1
        if found is None:
            found = self._new_record(key)
        if link is None:
            return ledger.new_link(spoke, record.id, found)
        if (conflict_id := link.frozen.pop("*", None)) is not None:
            close_conflict(ledger, conflict_id)
        ledger.join(link, spoke, found)
        return link

    def _new_record(self, key: str | None) -> str:
        hub = self.ledger.new_hub({})
        if key is not None:
            hub.natural_key = key
            self.ledger.by_key[key] = hub.id
        return hub.id

    def _mark_ambiguous(
        self, record: RemoteRecord, link: Link | None, found: str, theirs: dict[str, Any]
    ) -> Link:
        if link is None:
            link = self.ledger.new_link(self.spoke, record.id, None)
        link.state, link.is_changed = AMBIGUOUS, True
        if "*" not in link.frozen:
            hub = self.ledger.hubs[found]
            link.frozen["*"] = record_identity_conflict(
                self.ledger,
                self.spoke,
                internal_id=found,
                external_id=record.id,
                ours=hub.values(self.spoke.our_fields),
                theirs=theirs,
            )
        return link

    def _may_be_of_create(self, record: RemoteRecord, theirs: dict[str, Any]) -> bool:
        """Return whether a create without an answer may have made an unknown record."""
        if self._key(theirs) in self.ledger.by_key:
            return False
        entity, likely = self.ledger.entity.entity, False
        for internal_id, intent in self._open_intents(record):
            if self.ledger.links_of(internal_id, self.spoke.connection_id):
                continue
            references = self.spoke.references
            told = {name: v for name, v in intent.fields.items() if name not in references}
            agreed = [
                name for name, value in told.items()
                if name in theirs and equivalent(entity, name, value, theirs[name])
            ]  # fmt: skip
            if len(agreed) == len(told):
                return False  # it is recognised by all of its values
            likely = likely or 2 * len(agreed) >= len(told)
        return likely

    def _open_intents(self, record: RemoteRecord) -> list[tuple[str, Intent]]:
        """Return the creates without an answer that were sent before a record was made."""
        made = to_micros(record.created_at) if record.created_at else None
        return [
            (internal_id, intent)
            for internal_id, intent in self._intents.items()
            if made is None or made >= intent.intent_at - _SKEW_MICROS
        ]

    def _by_intent(self, record: RemoteRecord, theirs: dict[str, Any]) -> str | None:
        """Return the record of ours whose create, still without an answer, made this one."""
        entity = self.ledger.entity.entity
        for internal_id, intent in self._open_intents(record):
            told = {name: value for name, value in intent.fields.items() if name in theirs}
            if told and all(
                equivalent(entity, name, value, theirs[name]) for name, value in told.items()
            ):
                if self.ledger.links_of(internal_id, self.spoke.connection_id):
                    continue
                del self._intents[internal_id]
                self.adopt(record.id, internal_id, intent)
                return internal_id
        return None

    def adopt(self, external_id: str, internal_id: str, intent: Intent) -> None:
        """End an intent: *external_id* is the record that it made."""
        ledger, spoke = self.ledger, self.spoke
        remove_intents(ledger.tx, spoke.connection_id, ledger.entity.name, [internal_id])
        link = ledger.link(spoke.connection_id, external_id)
        if link is None and not ledger.links_of(internal_id, spoke.connection_id):
            link = ledger.new_link(spoke, external_id, internal_id)
            link.sent = dict(intent.fields)

    def _rekey(self, internal_id: str) -> None:
        hub = self.ledger.hubs[internal_id]
        holder = self.ledger.rekey(hub)
        if holder is None:
            return
        link = next(iter(self.ledger.links_of(internal_id, self.spoke.connection_id)), None)
        if link is None or "*" in link.frozen:
            return
        link.frozen["*"] = record_identity_conflict(
            self.ledger,
            self.spoke,
            internal_id=internal_id,
            external_id=link.external_id,
            ours=self.ledger.hubs[holder].values(self.spoke.our_fields),
            theirs=hub.values(self.spoke.our_fields),
        )
        link.is_changed = True
