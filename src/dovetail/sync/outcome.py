"""What became of the writes of one batch: bases from the read-back, refusals, ends of intents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dovetail.connector_sdk.record import RemoteRecord, Write, WriteResult
from dovetail.errors import (
    ConnectorError,
    MalformedResponseError,
    OutcomeUnknownError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
    TransientError,
)
from dovetail.model.integration import IntegrationMapping, SyncActivity
from dovetail.runtime.handler import Outcome
from dovetail.runtime.store.port import Tx
from dovetail.sync.absorb import Absorber
from dovetail.sync.breaker import note_write
from dovetail.sync.canonical import equivalent
from dovetail.sync.conflict import record_identity_conflict
from dovetail.sync.intent import REFUSED, Intent, remove_intents, save_intents
from dovetail.sync.ledger import Desk, Ledger
from dovetail.sync.link import GONE, Link
from dovetail.sync.outgoing import Outgoing
from dovetail.sync.plan import Route, SpokeRoute

_COUNTED = {"create": "made", "update": "written", "delete": "removed"}


def settle_outcomes(
    tx: Tx,
    desk: Desk,
    route: SpokeRoute,
    outgoing: Outgoing,
    results: Sequence[WriteResult],
    existing: dict[str, RemoteRecord],
) -> dict[str, Outcome]:
    """
    Record every result, within *tx*; return our id -> what the runtime shall know of it.

    Args:
        tx: The transaction.
        desk: What the engine works with.
        route: Where was written to.
        outgoing: What was written.
        results: One per write, in order.
        existing: Our id -> the record that stood in the way of its create.
    """
    settlement = _Settlement(tx, desk, route, outgoing)
    settlement.load(results, existing.values())
    for write, result in zip(outgoing.writes, results, strict=True):
        settlement.take(write, result, existing.get(write.key))
    settlement.save()
    return settlement.outcomes


def withdraw(tx: Tx, desk: Desk, route: SpokeRoute, outgoing: Outgoing) -> None:
    """Undo what was recorded ahead of writes of which none was applied."""
    settlement = _Settlement(tx, desk, route, outgoing)
    for write in outgoing.writes:
        settlement.forget(write)
    settlement.save()


class _Settlement:
    def __init__(self, tx: Tx, desk: Desk, route: SpokeRoute, outgoing: Outgoing) -> None:
        self.ledger = Ledger(tx, desk, Route(route.plan, route.entity))
        self.spoke = route.at
        self.outgoing = outgoing
        self.outcomes: dict[str, Outcome] = {}
        self._absorber = Absorber(self.ledger, self.spoke, is_own=True)
        self._records: list[RemoteRecord] = []
        self._written: list[Link] = []
        self._ended: list[str] = []
        self._refused: list[Intent] = []
        self.ledger.load_internal(write.key for write in outgoing.writes)

    def load(self, results: Sequence[WriteResult], existing: Iterable[RemoteRecord]) -> None:
        """Load the links of every record that the results speak of."""
        ids = {write.id for write in self.outgoing.writes} | {result.id for result in results}
        ids |= {record.id for record in existing}
        self.ledger.load_external(self.spoke.connection_id, [id for id in ids if id])
        shown = [result.record.fields for result in results if result.record is not None]
        self.ledger.references.load_theirs(self.spoke, shown)

    def take(self, write: Write, result: WriteResult, existing: RemoteRecord | None) -> None:
        if result.error is not None:
            self.outcomes[write.key] = self._fail(write, result.error, existing)
            return
        self.outcomes[write.key] = None
        if write.action == "update" and (updated := self._link(write)) is not None:
            note_write(updated, self.outgoing.sent[write.key], self.ledger.now_micros)
        if write.action == "delete":
            self._end(self._link(write))
        elif result.record is not None:
            link = self._written_link(write, result)
            if link is None:
                return
            if write.action == "update" or result.created:
                self._agree(link, write.key, result.record)
            self._records.append(result.record)
            self._written.append(link)
        self.ledger.counts[self.spoke.connection_id, _COUNTED[write.action]] += 1
        self._tell(write, result)

    def save(self) -> None:
        ledger, spoke = self.ledger, self.spoke
        if self._records:
            self._absorber.take(self._records, ledger.now)
        for link in self._written:
            # After the read-back: whatever was read before this moment may not know of the write.
            link.last_written_at, link.is_changed = ledger.now_micros, True
        name = ledger.entity.name
        remove_intents(ledger.tx, spoke.connection_id, name, self._ended)
        save_intents(ledger.tx, spoke.connection_id, name, self._refused)
        ledger.save(spoke)

    def forget(self, write: Write) -> None:
        """Take back what was recorded ahead of a write that was not applied."""
        if write.action == "create":
            self._ended.append(write.key)
        link = self._link(write)
        if link is not None and link.sent:
            link.sent, link.is_changed = {}, True

    def _link(self, write: Write) -> Link | None:
        if write.id is not None:
            return self.ledger.link(self.spoke.connection_id, write.id)
        return next(iter(self.ledger.links_of(write.key, self.spoke.connection_id)), None)

    def _written_link(self, write: Write, result: WriteResult) -> Link | None:
        """Return the link of a written record, made now for a create."""
        link = self._link(write)
        if write.action == "create":
            self._ended.append(write.key)
            external_id = result.id or (result.record.id if result.record else "")
            if link is None:
                return self._connect(write, external_id)
        return link

    def _connect(self, write: Write, external_id: str) -> Link | None:
        """Link our record to one over there, unless that belongs to another record of ours."""
        ledger, spoke = self.ledger, self.spoke
        link = ledger.link(spoke.connection_id, external_id)
        if link is None:
            return ledger.new_link(spoke, external_id, write.key)
        if link.internal_id is None:
            ledger.join(link, spoke, write.key)
            return link
        if link.internal_id == write.key:
            return link
        ledger.load_internal([link.internal_id])
        record_identity_conflict(
            ledger,
            spoke,
            internal_id=write.key,
            external_id=external_id,
            ours=self.outgoing.sent[write.key],
            theirs=ledger.hubs[link.internal_id].values(spoke.our_fields),
        )
        self._refuse_create(write)
        return None

    def _agree(self, link: Link, internal_id: str, record: RemoteRecord) -> None:
        """Base = what was read back where it means what was sent, otherwise what was sent."""
        entity = self.ledger.entity.entity
        held = {name: [self.outgoing.sent[internal_id].get(name)] for name in self.spoke.references}
        back = self._absorber.read(record)
        back |= self.ledger.references.told(self.spoke, record.fields, held).values
        for name, value in self.outgoing.sent[internal_id].items():
            # A value that comes back as another one is a change made there, and is absorbed as
            # such from the same record.
            if name in back and equivalent(entity, name, value, back[name]):
                link.settle(name, back[name], value)
            else:
                link.settle(name, value)
        link.sent = {}

    def _end(self, link: Link | None) -> None:
        if link is not None:
            link.state, link.is_changed = GONE, True

    def _tell(self, write: Write, result: WriteResult) -> None:
        link = self._link(write)
        external_id = result.id or write.id
        self.ledger.add(
            SyncActivity(
                id=self.ledger.desk.ids.new(),
                business_id=self.ledger.plan.business_id,
                integration_id=self.ledger.plan.integration_id,
                entity_type=self.ledger.entity.name,
                entity_id=write.key,
                direction="outbound",
                platforms=[
                    {
                        "platform": self.spoke.platform,
                        "external_id": external_id,
                        "action": write.action,
                        "fields": sorted(write.fields),
                    }
                ],
                timestamp=self.ledger.now,
            )
        )
        hub = self.ledger.hubs.get(write.key)
        if link is not None and link.mapping_id is not None and hub is not None and hub.record:
            changes = {"synced_at": self.ledger.now, "synced_version": hub.record.version}
            self.ledger.change_own(IntegrationMapping, link.mapping_id, changes)

    def _fail(self, write: Write, error: ConnectorError, existing: RemoteRecord | None) -> Outcome:
        unknown = isinstance(error, OutcomeUnknownError | MalformedResponseError)
        if unknown or error.may_be_applied:
            return error
        if isinstance(error, RecordNotFoundError) and write.action != "create":
            self._records.append(
                RemoteRecord(id=write.id or "", modified_at=self.ledger.now, deleted=True)
            )
            return None
        self.forget(write)
        if isinstance(error, RecordConflictError) and write.action == "create" and existing:
            link = self._connect(write, existing.id)
            if link is not None:
                self.ledger.counts[self.spoke.connection_id, "linked"] += 1
                self._records.append(existing)
            return None
        is_stale = isinstance(error, RecordConflictError) and error.existing_id is None
        if is_stale and write.action != "create":
            return _again(error)
        if isinstance(error, RecordInvalidError | RecordConflictError):
            self._refuse(write, error)
            return None
        return error

    def _refuse(self, write: Write, error: ConnectorError) -> None:
        """Record values that the platform will not take; they wait until ours change."""
        named = error.fields if isinstance(error, RecordInvalidError) else {}
        sent = self.outgoing.sent[write.key]
        link = self._link(write)
        if write.action == "create" or link is None:
            self._refuse_create(write)
        else:
            ours = {self.spoke.fields[name] for name in named if name in self.spoke.fields}
            refused = ours & sent.keys() or sent.keys()
            link.refused |= {name: sent[name] for name in refused}
            link.is_changed = True
            if len(refused) < len(sent):
                self.ledger.push(self.spoke.connection_id, write.key)
        reasons = "; ".join(f"{name}: {reason}" for name, reason in named.items())
        self.ledger.add_error(
            self.spoke,
            f"{error.message}{f' ({reasons})' if reasons else ''} The record is tried again when "
            "it has changed here.",
            error.code,
            internal_id=write.key,
            external_id=write.id,
        )

    def _refuse_create(self, write: Write) -> None:
        if write.key in self._ended:
            self._ended.remove(write.key)
        self._refused.append(
            Intent(
                internal_id=write.key,
                state=REFUSED,
                intent_at=self.ledger.now_micros,
                fields=self.outgoing.sent[write.key],
            )
        )


def _again(error: ConnectorError) -> TransientError:
    again = TransientError(
        f"{error.message} It is read again and the change is made anew.",
        platform=error.platform,
        operation=error.operation,
        status=error.status,
    )
    again.__cause__ = error
    return again
