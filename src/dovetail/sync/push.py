"""
The outbound half: brings a spoke's records to what ours hold, in the platform's batch calls.

    survey (read)   -> which records differ, which seem missing, which creates have no answer
    look            -> creates without answer looked up, targets read again, keys looked for
    prepare (write) -> what was seen is absorbed; writes decided; intents and values recorded
    write           -> one call
    settle (write)  -> outcomes, bases and what the read-back told, in one transaction

It may stop anywhere and start over: whatever was done is seen before anything is done again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from dovetail.connector_sdk.base import Records
from dovetail.connector_sdk.record import RemoteRecord, WriteResult
from dovetail.connector_sdk.spec import Capability, Resource
from dovetail.core.clock import from_micros
from dovetail.errors import (
    AuthenticationError,
    ConnectorError,
    MalformedResponseError,
    OutcomeUnknownError,
    RateLimitedError,
    RecordConflictError,
    TransientError,
)
from dovetail.model.event import Event
from dovetail.runtime.handler import Outcome
from dovetail.runtime.store.port import Store
from dovetail.sync.fetch import read_again
from dovetail.sync.ledger import Desk
from dovetail.sync.link import linked_records
from dovetail.sync.outcome import settle_outcomes, withdraw
from dovetail.sync.outgoing import Outgoing, Sightings, Survey, prepare, survey
from dovetail.sync.plan import SpokeRoute
from dovetail.sync.platform import Platforms

_SKEW = timedelta(minutes=2)
"""How far a platform's clock may be behind ours when a create is looked up."""


class Push:
    """Handles ``sync.push``, many records of one connection and entity at a time."""

    def __init__(self, store: Store, desk: Desk, platforms: Platforms) -> None:
        self._store = store
        self._desk = desk
        self._platforms = platforms

    async def handle(self, events: list[Event]) -> Sequence[Outcome]:
        """Bring the records that the events name into agreement."""
        first = events[0].payload
        route = self._desk.plans.spoke(first["connection_id"], first["entity"])
        if route is None or not route.plan.writes(route.at):
            return [None] * len(events)
        ids = list(dict.fromkeys(event.payload["internal_id"] for event in events))
        records, resource = await self._platforms.writable(route.at)
        outcomes: dict[str, Outcome] = {}
        batches = await self._batches(route, ids, resource.write_batch)
        for number, batch in enumerate(batches):
            push = _Push(self._store, self._desk, route, records, resource)
            try:
                outcomes |= await push.run(batch)
            except ConnectorError as error:
                if number == 0:
                    raise
                # What was done is done; the rest would meet the same, or wait for the limit.
                outcomes |= {id: error for rest in batches[number:] for id in rest}
                break
        return [outcomes.get(event.payload["internal_id"]) for event in events]

    async def _batches(
        self, route: SpokeRoute, ids: Sequence[str], size: int
    ) -> list[Sequence[str]]:
        """
        Cut the ids into what one call takes.

        A platform changes records with one call and makes them with another: mixed, they would
        need twice as many.
        """
        if len(ids) <= 1:
            return [ids]
        spoke, name = route.at, route.entity.name
        linked = await self._store.read(
            lambda tx: linked_records(tx, spoke.connection_id, name, ids)
        )
        kinds = (
            [id for id in ids if id in linked],
            [id for id in ids if id not in linked],
        )
        return [kind[start : start + size] for kind in kinds for start in range(0, len(kind), size)]


class _Push:
    """One batch."""

    def __init__(
        self, store: Store, desk: Desk, route: SpokeRoute, records: Records, resource: Resource
    ) -> None:
        self._store = store
        self._desk = desk
        self._route = route
        self._spoke = route.at
        self._records = records
        self._resource = resource

    async def run(self, ids: Sequence[str]) -> dict[str, Outcome]:
        desk, route, resource = self._desk, self._route, self._resource
        found = await self._store.read(lambda tx: survey(tx, desk, route, resource, ids))
        if not (found.targets or found.creates or found.outstanding):
            return {}
        seen = await self._look(found)
        outgoing = await self._store.write(lambda tx: prepare(tx, desk, route, resource, ids, seen))
        if not outgoing.writes:
            return outgoing.outcomes
        return outgoing.outcomes | await self._write(outgoing)

    async def _look(self, found: Survey) -> Sightings:
        seen = Sightings(read_at=self._desk.clock.now())
        if found.outstanding:
            await self._look_up(found, seen)
        if self._route.plan.reads(self._spoke):
            seen.records += await read_again(
                self._records, self._resource, self._spoke, found.targets, seen.read_at
            )
        await self._look_for_keys(found, seen)
        return seen

    async def _look_up(self, found: Survey, seen: Sightings) -> None:
        """Find out whether creates without an answer were made."""
        since = from_micros(min(one.intent_at for one in found.outstanding)) - _SKEW
        try:
            answers = await self._records.look_up(
                self._resource, found.lost, since, self._spoke.their_fields
            )
        except RateLimitedError:
            raise  # it says itself when to come back
        except (TransientError, MalformedResponseError) as error:
            # Not as patiently as any other read: until it is looked up, nobody knows.
            raise OutcomeUnknownError(
                f"{error.message} {len(found.lost)} creates have no answer yet.",
                platform=self._spoke.platform,
                operation="look_up",
            ) from error
        visible_after = timedelta(seconds=self._resource.answer_lag_s)
        for intent, record in zip(found.outstanding, answers, strict=True):
            if record is not None:
                seen.records.append(record)
                seen.adopted[record.id] = (intent.internal_id, intent)
                found.creates.pop(intent.internal_id, None)
            elif seen.read_at - from_micros(intent.intent_at) <= visible_after:
                seen.unsure.add(intent.internal_id)

    async def _look_for_keys(self, found: Survey, seen: Sightings) -> None:
        """Find records that appeared meanwhile, where the platform would make a second one."""
        resource = self._resource
        if resource.key_field is None or resource.key_is_unique:
            return
        if Capability.FIND not in resource.capabilities:
            return
        wanted = {key: id for id, key in found.creates.items() if key is not None}
        if not wanted:
            return
        answers = await self._records.find_many(
            resource, resource.key_field, list(wanted), self._spoke.their_fields
        )
        for key, records in answers.items():
            seen.records += records
            if records and key in wanted:
                seen.claimed[records[0].id] = wanted[key]

    async def _write(self, outgoing: Outgoing) -> dict[str, Outcome]:
        desk, route = self._desk, self._route
        try:
            results = await self._records.write(
                self._resource, outgoing.writes, self._spoke.their_fields
            )
        except (TransientError, AuthenticationError) as error:
            # A create that is harmless to repeat may have been made all the same: its intent tells
            # whose it is when it is seen before it was repeated.
            if not error.may_be_applied:
                await self._store.write(lambda tx: withdraw(tx, desk, route, outgoing))
            return _all(outgoing, error)
        except ConnectorError as error:
            return _all(outgoing, error)
        existing = await self._existing(outgoing, results)
        return await self._store.write(
            lambda tx: settle_outcomes(tx, desk, route, outgoing, results, existing)
        )

    async def _existing(
        self, outgoing: Outgoing, results: Sequence[WriteResult]
    ) -> dict[str, RemoteRecord]:
        """Return our id -> the record that refused its create."""
        found: dict[str, RemoteRecord] = {}
        by_id: dict[str, str] = {}
        by_key: dict[str, str] = {}
        for write, result in zip(outgoing.writes, results, strict=True):
            if write.action != "create" or not isinstance(result.error, RecordConflictError):
                continue
            key: Any = write.fields.get(self._resource.key_field or "")
            if result.error.existing_id is not None:
                by_id[result.error.existing_id] = write.key
            elif key is not None:
                by_key[str(key)] = write.key
        now = self._desk.clock.now()
        for record in await read_again(
            self._records, self._resource, self._spoke, list(by_id), now
        ):
            target = record.merged_into or record.id
            if record.id in by_id and not record.deleted and record.merged_into is None:
                found[by_id[target]] = record
        if by_key and self._resource.key_field and Capability.FIND in self._resource.capabilities:
            answers = await self._records.find_many(
                self._resource, self._resource.key_field, list(by_key), self._spoke.their_fields
            )
            for value, records in answers.items():
                if records and value in by_key:
                    found[by_key[value]] = records[0]
        return found


def _all(outgoing: Outgoing, error: ConnectorError) -> dict[str, Outcome]:
    return {write.key: error for write in outgoing.writes}
