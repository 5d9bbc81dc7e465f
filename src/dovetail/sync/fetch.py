"""Changes that a webhook told of: the records are read again, because a webhook may be old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dovetail.connector_sdk.base import Records
from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Resource
from dovetail.model.event import Event
from dovetail.runtime.handler import Outcome
from dovetail.runtime.store.port import Store, Tx
from dovetail.sync.absorb import MAX_RECORDS, absorb
from dovetail.sync.ledger import Desk
from dovetail.sync.plan import SpokePlan, SpokeRoute
from dovetail.sync.platform import Platforms


class Fetch:
    """Handles ``platform.changed``, many records of one connection and resource at a time."""

    def __init__(self, store: Store, desk: Desk, platforms: Platforms) -> None:
        self._store = store
        self._desk = desk
        self._platforms = platforms

    async def handle(self, events: list[Event]) -> Sequence[Outcome]:
        """Read the records that the events name and absorb them."""
        payload = events[0].payload
        route = self._desk.plans.by_resource(payload["connection_id"], payload["resource"])
        if route is None or not route.plan.reads(route.at):
            return [None] * len(events)
        records, resource = await self._platforms.records(route.at)
        read_at = self._desk.clock.now()
        merged = [
            RemoteRecord(
                id=event.payload["record_id"],
                modified_at=event.occurred_at,
                merged_into=event.payload["merged_into"],
            )
            for event in events
            if event.payload.get("merged_into")
        ]
        ids = [one.merged_into or "" for one in merged]
        ids += [event.payload["record_id"] for event in events]
        found = await read_again(records, resource, route.at, ids, read_at)
        await absorb_all(self._store, self._desk, route, [*merged, *found], read_at)
        return [None] * len(events)


async def read_again(
    records: Records,
    resource: Resource,
    spoke: SpokePlan,
    ids: Sequence[str],
    now: datetime,
) -> list[RemoteRecord]:
    """Return the records of these ids as they are now; one that is gone is a tombstone."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    found: list[RemoteRecord] = []
    answers = await records.read_many(resource, wanted, spoke.their_fields)
    for asked, record in zip(wanted, answers, strict=True):
        if record is None:
            found.append(RemoteRecord(id=asked, modified_at=now, deleted=True))
            continue
        if record.id != asked:
            found.append(
                RemoteRecord(id=asked, modified_at=record.modified_at, merged_into=record.id)
            )
        found.append(record)
    return found


async def absorb_all(
    store: Store,
    desk: Desk,
    route: SpokeRoute,
    records: Sequence[RemoteRecord],
    read_at: datetime,
) -> None:
    """Absorb any number of records, some per transaction."""
    for start in range(0, len(records), MAX_RECORDS):
        chunk = records[start : start + MAX_RECORDS]

        def work(tx: Tx, chunk: Sequence[RemoteRecord] = chunk) -> None:
            absorb(tx, desk, route, chunk, read_at)

        await store.write(work)
