"""Edits made here, by a user's handler or a person: stamped, and sent wherever they are missing."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.model.event import Event
from dovetail.runtime.handler import Outcome
from dovetail.runtime.store.port import Store, Tx
from dovetail.sync.conflict import close_conflict
from dovetail.sync.draft import SOURCE
from dovetail.sync.ledger import Desk, Ledger
from dovetail.sync.link import ACTIVE, DETACHED
from dovetail.sync.plan import Deletes, Route


class LocalEdits:
    """Handles created, updated and deleted events of our own records, many at a time."""

    def __init__(self, store: Store, desk: Desk) -> None:
        self._store = store
        self._desk = desk

    def accepts(self, event: Event) -> bool:
        """Return whether the event is an edit made here, of something that is synced."""
        name = event.type.rpartition(".")[0]
        return not event.source.startswith(SOURCE) and bool(
            self._desk.plans.routes(event.business_id, name)
        )

    async def handle(self, events: list[Event]) -> Sequence[Outcome]:
        """Look at the records that the events are about; all of one tenant and entity."""
        first = events[0]
        name = first.type.rpartition(".")[0]
        ids = list(dict.fromkeys(str(event.payload.get("id") or event.key) for event in events))
        routes = self._desk.plans.routes(first.business_id, name)

        def work(tx: Tx) -> None:
            for route in routes:
                look_at(tx, self._desk, route, ids)

        await self._store.write(work)
        return [None] * len(events)


def look_at(tx: Tx, desk: Desk, route: Route, ids: Sequence[str]) -> None:
    """Stamp what was edited here and ask for the pushes that it needs."""
    ledger = Ledger(tx, desk, route)
    ledger.load_internal(ids)
    edited = []
    for hub in list(ledger.hubs.values()):
        if hub.record is None:
            _let_go(ledger, hub.id)
            continue
        hub.is_changed = hub.is_changed or not hub.is_identified
        hub.stamp_all(ledger.entity.our_fields)
        hub.tidy(ledger.entity.our_fields)
        ledger.rekey(hub)
        _close_agreed(ledger, hub.id)
        edited.append(hub)
    ledger.fan_out(edited)
    ledger.save()


def _let_go(ledger: Ledger, internal_id: str) -> None:
    for link in ledger.links_of(internal_id):
        if link.state != ACTIVE:
            continue
        if ledger.plan.deletes is Deletes.PROPAGATE:
            ledger.push(link.connection_id, internal_id)
        else:
            link.state, link.is_changed = DETACHED, True


def _close_agreed(ledger: Ledger, internal_id: str) -> None:
    hub = ledger.hubs[internal_id]
    for link in ledger.links_of(internal_id):
        for name, conflict_id in list(link.frozen.items()):
            if name != "*" and hub.value(name) == link.seen.get(name):
                close_conflict(ledger, conflict_id)
                del link.frozen[name]
                link.settle(name, link.seen.get(name))
