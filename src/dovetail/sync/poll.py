"""Reading what changed, page by page; each page is absorbed together with its cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from dovetail.connector_sdk.lane import Lane, lane
from dovetail.connector_sdk.record import Page
from dovetail.core import json
from dovetail.core.clock import to_micros
from dovetail.errors import CursorExpiredError
from dovetail.model.event import Event
from dovetail.runtime.store.port import Store, Tx
from dovetail.sync.absorb import MAX_RECORDS, AbsorbReport, absorb
from dovetail.sync.cursor import load_cursor, missing_after, save_cursor, save_sweep
from dovetail.sync.draft import push_draft, push_key
from dovetail.sync.ledger import Desk, record_trouble
from dovetail.sync.plan import SpokeRoute
from dovetail.sync.platform import Platforms
from dovetail.sync.sweep import Sweep, is_due, needs_sweep

POLL = "sync.poll"


@dataclass(frozen=True, slots=True)
class PollProgress:
    """One page has been absorbed."""

    route: SpokeRoute
    report: AbsorbReport
    total: int | None
    more: bool


class Poll:
    """
    Handles ``sync.poll``: reads one spoke until nothing more is visible.

    It can be cut off anywhere: what a page caused and the cursor behind it commit together.
    """

    def __init__(
        self,
        store: Store,
        desk: Desk,
        platforms: Platforms,
        on_progress: Callable[[PollProgress], None] | None = None,
    ) -> None:
        self._store = store
        self._desk = desk
        self._platforms = platforms
        self._on_progress = on_progress
        self._gone = Sweep(store, desk)

    async def handle(self, event: Event) -> None:
        """Read on from the committed cursor; a plan that is gone has nothing to read."""
        payload = event.payload
        route = self._desk.plans.spoke(payload["connection_id"], payload["entity"])
        if route is not None and route.plan.reads(route.at):
            await self.read(route)

    async def read(self, route: SpokeRoute) -> None:
        """Absorb everything that is visible, then ask for what the spoke is found to lack."""
        spoke = route.at
        records, resource = await self._platforms.records(spoke)
        row = await self._store.read(
            lambda tx: load_cursor(tx, spoke.connection_id, route.entity.name)
        )
        cursor = json.decode(row.cursor) if row is not None and row.cursor else None
        is_first = row is None or row.caught_up_at is None
        while True:
            read_at = self._desk.clock.now()
            try:
                with lane(Lane.BACKFILL if is_first else Lane.RECONCILE):
                    page = await records.read_page(resource, spoke.their_fields, cursor)
            except CursorExpiredError:
                if cursor is None:
                    raise
                cursor = None
                continue
            await self._absorb(route, page, read_at)
            cursor = page.cursor
            if not page.more:
                break
            if page.wait_s > 0:
                await self._desk.clock.sleep(page.wait_s)
        if is_first:
            await self._sweep(route, row.swept_to if row is not None else None)
        elif needs_sweep(resource) and is_due(row, route, to_micros(self._desk.clock.now())):
            with lane(Lane.RECONCILE):
                await self._gone.go_on(route, records, resource)

    async def _absorb(self, route: SpokeRoute, page: Page, read_at: datetime) -> None:
        chunks = [
            page.records[start : start + MAX_RECORDS]
            for start in range(0, len(page.records), MAX_RECORDS)
        ] or [[]]
        for number, chunk in enumerate(chunks, start=1):
            last = number == len(chunks)

            def work(tx: Tx, chunk: list = chunk, last: bool = last) -> AbsorbReport:  # type: ignore[type-arg]
                report = absorb(tx, self._desk, route, chunk, read_at)
                if last:
                    if page.trouble is not None:
                        # Reading goes on all the same.
                        record_trouble(
                            tx, self._desk, route, page.trouble.message, page.trouble.code
                        )
                    save_cursor(
                        tx,
                        route.at.connection_id,
                        route.entity.name,
                        to_micros(self._desk.clock.now()),
                        cursor=page.cursor,
                        total=page.total,
                    )
                return report

            report = await self._store.write(work)
            if self._on_progress is not None:
                more = page.more or not last
                self._on_progress(PollProgress(route, report, page.total, more))

    async def _sweep(self, route: SpokeRoute, swept_to: str | None) -> None:
        """Ask once for a push of every record of ours that the spoke turned out not to hold."""
        after = swept_to or ""
        while True:
            found = await self._store.write(partial(self._sweep_some, route, after))
            if found is None:
                return
            after = found

    def _sweep_some(self, route: SpokeRoute, after: str, tx: Tx) -> str | None:
        spoke, name = route.at, route.entity.name
        found = missing_after(
            tx, route.plan.business_id, spoke.connection_id, name, after, 5 * MAX_RECORDS
        )
        if route.plan.writes(spoke):
            drafts = [
                push_draft(push_key(spoke.connection_id, name, id), route.plan.business_id)
                for id, missing in found
                if missing
            ]
            self._desk.log.append(tx, drafts)
        swept_to = found[-1][0] if found else after
        done = len(found) < 5 * MAX_RECORDS
        now = to_micros(self._desk.clock.now())
        save_sweep(tx, spoke.connection_id, name, now, swept_to=swept_to, done=done)
        return None if done else swept_to
