"""What is there when everything has come to rest: what the invariants are checked against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dovetail.connector_sdk.base import Webhooks
from dovetail.connector_sdk.webhook import WebhookEvent, WebhookRequest
from dovetail.core import json
from dovetail.core.transport import HttpRequest
from dovetail.model.integration import IntegrationMapping, SyncConflict, SyncError
from dovetail.runtime.record_document import read_record
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import DONE, deliveries, events, records
from dovetail.simulator_sdk.record import Record
from dovetail.sync.link import Link, link_of
from dovetail.sync.schema import sync_links
from dovetail.testing.app import START
from dovetail.testing.simulation.bench import Bench, read_bench
from dovetail.testing.simulation.network import Answer
from dovetail.testing.simulation.people import Entry, People, Side
from dovetail.testing.simulation.shop import Shop
from dovetail.testing.simulation.tokens import Tokens
from dovetail.testing.simulation.world import World


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A delivery that is not done."""

    handler: str
    status: int
    key: str
    error: str


@dataclass(slots=True)
class Evidence:
    """
    Everything that can be looked at in the end.

    Attributes:
        links: Every link of the app.
        linked: When each mapping was made.
        answers: What the platforms told the app.
        live: (side, id) -> record, of the records that are there.
        told_from_s: When a side took the last subscription to its webhooks.
        quiet_writes: Records that were changed after everybody had stopped.
        quiet_calls: Calls of the app in that time.
    """

    world: World
    sides: Sequence[Side]
    people: People
    shop: Shop
    links: list[Link] = field(default_factory=list)
    conflicts: list[SyncConflict] = field(default_factory=list)
    errors: list[SyncError] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)
    linked: dict[str, datetime] = field(default_factory=dict)
    answers: Sequence[Answer] = ()
    webhook_rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent_webhooks: set[tuple[str, str]] = field(default_factory=set)
    accepted_webhooks: set[tuple[str, str]] = field(default_factory=set)
    bench: Bench = field(default_factory=Bench)
    tokens: Tokens = field(default_factory=Tokens)
    shipments: Counter[str] = field(default_factory=Counter)
    receipts: Counter[str] = field(default_factory=Counter)
    live: dict[tuple[int, str], Record] = field(default_factory=dict)
    told_from_s: dict[int, float] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    quiet_writes: list[str] = field(default_factory=list)
    quiet_calls: int = 0
    quiet_polls: int = 0
    calls: int = 0
    is_settled: bool = True
    _of: dict[str, list[Link]] | None = None
    _hubs: dict[str, dict[int, list[Link]]] | None = None
    _touched: set[str] | None = None

    def hubs(self) -> dict[str, dict[int, list[Link]]]:
        """Return, by our id and side, the links that are kept in agreement."""
        if self._hubs is None:
            positions = self.positions()
            self._hubs = {}
            for link in self.links:
                if link.internal_id and link.state == "active" and link.connection_id in positions:
                    sides = self._hubs.setdefault(link.internal_id, {})
                    sides.setdefault(positions[link.connection_id], []).append(link)
        return self._hubs

    def positions(self) -> dict[str, int]:
        """Return the side of each connection."""
        return {side.connection_id: side.position for side in self.sides}

    def touched(self) -> set[str]:
        """Return our ids of the people whose records somebody merged or deleted."""
        if self._touched is None:
            positions = self.positions()
            self._touched = {
                link.internal_id
                for link in self.links
                if link.internal_id
                and (
                    link.merged_into
                    or (positions[link.connection_id], link.external_id) in self.people.upset
                )
            }
        return self._touched

    def precedes_meeting(self, internal_id: str, entry: Entry) -> bool:
        """
        Return whether an edit is older than the link of its record.

        Either people made records apart, or the answer of our create was lost and somebody was
        quicker than the look-up that found what it had made.
        """
        links = self.hubs()[internal_id]
        own = [one for one in links.get(entry.side, ()) if one.external_id == entry.id]
        if any(self._is_before_link(entry, one) for one in own):
            return True
        apart = [
            self.linked[link.mapping_id]
            for side, there in links.items()
            for link in there
            if link.mapping_id and (side, link.external_id) in self.people.made
        ]
        return len(apart) > 1 and START + timedelta(seconds=entry.true_s) <= max(apart)

    def _is_before_link(self, entry: Entry, link: Link) -> bool:
        made_at = self.linked.get(link.mapping_id or "")
        return made_at is not None and START + timedelta(seconds=entry.true_s) <= made_at

    def is_overtaken(self, entry: Entry) -> bool:
        """
        Return whether the app replaced an edit of which no platform had told it.

        It reads a record before it writes, but no platform refuses a write because of what
        happened in between, and none tells what a write replaced.
        """
        sent = self.people.replaced.get(entry)
        if sent is None:
            return False
        base_url, id = self.sides[entry.side].simulator.base_url, entry.id.encode()
        return not any(
            entry.turn < one.turn <= sent and one.url.startswith(f"{base_url}/") and id in one.body
            for one in self.answers
        )

    def is_deaf(self, side: int) -> bool:
        """Return whether webhooks of a side were lost for good: it may tell of deletes only so."""
        sender = self.sides[side].simulator.webhooks
        lost = any(
            span.kind == "webhook_lost" and span.side % len(self.sides) == side
            for span in self.world.faults
        )
        return lost or (sender is not None and sender.given_up > 0)

    def is_untold(self, side: int, id: str) -> bool:
        """Return whether a record was merged or deleted before the side was asked for webhooks."""
        ended_s = self.people.upset.get((side, id))
        return ended_s is not None and ended_s <= self.told_from_s.get(side, 0.0)

    def frozen(self, internal_id: str) -> set[str]:
        """Return the fields of a record of ours that wait for a person or were refused."""
        if self._of is None:
            self._of = {}
            for link in self.links:
                self._of.setdefault(link.internal_id or "", []).append(link)
        found: set[str] = set()
        for link in self._of.get(internal_id, ()):
            found.update(link.frozen)
            found.update(link.refused)
        return found


def read_app(evidence: Evidence, tx: Tx) -> None:
    """Add what the app's own database holds."""
    evidence.links = [link_of(row) for row in tx.rows(sa.select(sync_links))]
    for row in tx.rows(sa.select(records)):
        match row.entity:
            case "integration_mapping":
                made_at = read_record(IntegrationMapping, row).created_at
                evidence.linked[row.id] = made_at or START
            case "sync_conflict":
                evidence.conflicts.append(read_record(SyncConflict, row))
            case "sync_error":
                evidence.errors.append(read_record(SyncError, row))
                evidence.texts.append(str(row.data))
            case "simulated_shipment":
                evidence.shipments[json.decode(row.data)["number"]] += 1
            case "simulated_receipt":
                evidence.receipts[json.decode(row.data)["number"]] += 1
    unfinished = _read_unfinished(tx)
    meant = evidence.shop.workshop.is_meant
    evidence.unfinished = [
        one
        for one in unfinished
        if one.handler != "sync.poll" and not meant(one.handler, one.key, one.status)
    ]
    evidence.bench = read_bench(tx)
    with_errors = sa.select(deliveries.c.error, deliveries.c.history)
    for row in tx.rows(with_errors.where(deliveries.c.error.is_not(None))):
        evidence.texts += [
            text.decode(errors="replace") for text in (row.error, row.history) if text is not None
        ]
    from_webhooks = sa.select(events.c.key, events.c.payload, events.c.occurred_at)
    for row in tx.rows(from_webhooks.where(events.c.source.like("webhook:%"))):
        payload = json.decode(row.payload)
        evidence.webhook_rows[row.key, _fact(payload["detail"], payload["kind"])] += 1


def _read_unfinished(tx: Tx) -> list[Unfinished]:
    """Return the deliveries that are not done."""
    query = (
        sa.select(deliveries, events.c.key)
        .join(events, events.c.seq == deliveries.c.event_seq)
        .where(deliveries.c.status != DONE)
    )
    return [
        Unfinished(row.handler, row.status, row.key, (row.error or b"").decode(errors="replace"))
        for row in tx.rows(query)
    ]


def read_webhooks(requests: Sequence[HttpRequest], connectors: dict[str, Any]) -> set[Any]:
    """Return (key, fact) of every change that these requests told of, by connection id."""
    found: set[tuple[str, str]] = set()
    for request in requests:
        connection_id = request.url.rsplit("/", 1)[-1]
        connector = connectors.get(connection_id)
        if not isinstance(connector, Webhooks):
            continue
        told: Sequence[WebhookEvent] = connector.parse(
            WebhookRequest(
                method=request.method,
                url=request.url,
                headers={name.lower(): value for name, value in request.headers.items()},
                body=request.body,
            )
        )
        for one in told:
            key = f"{connection_id}:{one.resource}:{one.record_id}"
            found.add((key, _fact(one.detail, one.kind)))
    return found


def _fact(detail: dict[str, Any], kind: str) -> str:
    # A repetition of the same fact may count its attempts.
    kept = {name: value for name, value in detail.items() if name != "attemptNumber"}
    return f"{kind} {json.encode_text(dict(sorted(kept.items())))}"
