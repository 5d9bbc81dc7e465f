"""References that platforms showed before their targets were linked, settled once they are."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.model.event import Event
from dovetail.runtime.handler import Outcome
from dovetail.runtime.store.port import Store, Tx
from dovetail.sync.ledger import Desk, Ledger
from dovetail.sync.link import ACTIVE
from dovetail.sync.plan import Route, SpokeRoute
from dovetail.sync.reference import awaited
from dovetail.sync.settle import settle


class Refer:
    """Handles ``sync.refer``, many records of one connection and entity at a time."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self._store = store
        self._desk = desk

    async def handle(self, events: list[Event]) -> Sequence[Outcome]:
        """Settle what the records wait for; no platform is asked."""
        first = events[0].payload
        route = self._desk.plans.spoke(first["connection_id"], first["entity"])
        if route is not None and route.plan.reads(route.at):
            ids = list(dict.fromkeys(event.payload["external_id"] for event in events))
            await self._store.write(lambda tx: refer(tx, self._desk, route, ids))
        return [None] * len(events)


def refer(tx: Tx, desk: Desk, route: SpokeRoute, external_ids: Sequence[str]) -> None:
    """Take over the references of a platform's records whose targets are linked by now."""
    spoke = route.at
    ledger = Ledger(tx, desk, Route(route.plan, route.entity))
    ledger.load_external(spoke.connection_id, external_ids)
    links = [
        link
        for id in external_ids
        if (link := ledger.link(spoke.connection_id, id)) is not None and link.awaited
    ]
    ledger.load_internal(link.internal_id for link in links if link.internal_id)
    ledger.references.load_theirs(spoke, [awaited(spoke, link) for link in links])
    changed = []
    for link in links:
        told = ledger.references.settled(spoke, link)
        hub = ledger.hubs.get(link.internal_id or "")
        if not told or hub is None or hub.record is None or link.state != ACTIVE:
            link.seen.update(told)
        elif settle(ledger, spoke, link, hub, told, link.seen_modified_at or 0):
            changed.append(hub)
    ledger.fan_out(changed)
    ledger.save(spoke)
