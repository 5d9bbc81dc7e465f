"""
The gate before a platform: while a connection's credentials are refused, no work goes through.

    refused call -> a second one, with the credentials as stored now
      accepted   -> the first was a stray refusal: tried again
      refused    -> marked; `Integration.error` is sent once; the connection's work is put off
    put off      -> the first work that comes when a probe is due makes one cheap call
      accepted   -> unmarked, and everything that was put off is due at once
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog

from dovetail.connector_sdk.base import Account
from dovetail.errors import (
    AuthenticationError,
    ConnectionPausedError,
    ConnectorError,
    TransientError,
)
from dovetail.model.event import Event
from dovetail.model.integration import Integration
from dovetail.runtime.handler import BatchHandler, EventHandler, Outcome
from dovetail.runtime.log import EventDraft
from dovetail.runtime.refusal import (
    Refusal,
    clear_refused,
    load_refusal,
    mark_refused,
    take_probe,
    take_untold,
)
from dovetail.runtime.store.port import Store, Tx
from dovetail.sync.draft import SOURCE
from dovetail.sync.ledger import Desk
from dovetail.sync.platform import ConnectionSource

log = structlog.get_logger("dovetail.sync")

# So that the first work that comes back finds the probe due.
_BEHIND_PROBE_S = 0.5


class Gate:
    """Stands before handlers whose events name a connection."""

    def __init__(self, store: Store, desk: Desk, connections: ConnectionSource) -> None:
        self._store = store
        self._desk = desk
        self._connections = connections
        self._trying: set[str] = set()

    def scheduled(self, call: EventHandler) -> EventHandler:
        """Return a handler of ticks, which are let go while the connection is refused."""

        async def handle(event: Event) -> Any:
            async def both(events: list[Event]) -> Sequence[Outcome]:
                await call(events[0])
                return [None]

            (outcome,) = await self.batch(both)([event])
            if outcome is not None and not isinstance(outcome, ConnectionPausedError):
                raise outcome

        return handle

    def batch(self, call: BatchHandler) -> BatchHandler:
        """Return a handler whose events are put off while their connection is refused."""

        async def handle(events: list[Event]) -> Sequence[Outcome]:
            connection_id: str = events[0].payload["connection_id"]
            paused = await self._blocked(connection_id)
            if paused is not None:
                return [paused] * len(events)
            try:
                outcomes = await call(events)
            except AuthenticationError as error:
                outcomes = [error] * len(events)
            refused = next((one for one in outcomes if isinstance(one, AuthenticationError)), None)
            if refused is None:
                if connection_id in self._trying:
                    await self._admit(connection_id)
                return outcomes
            self._trying.discard(connection_id)
            instead = await self._look(connection_id, refused) or _again(refused)
            return [instead if isinstance(one, AuthenticationError) else one for one in outcomes]

        return handle

    async def _blocked(self, connection_id: str) -> ConnectionPausedError | None:
        """Return why no work of a connection goes through now; probe it when that is due."""
        refusal = await self._store.read(lambda tx: load_refusal(tx, connection_id))
        if refusal is None:
            return None
        now = self._desk.clock.now()
        # One that nobody was told of rests on a single refused call, and is looked at at once.
        if refusal.is_told and not await self._store.write(
            lambda tx: take_probe(tx, connection_id, now)
        ):
            return await self._pause(connection_id)
        return await self._look(connection_id)

    async def _look(
        self, connection_id: str, error: AuthenticationError | None = None
    ) -> ConnectionPausedError | None:
        """Make one cheap call; None when work may go through."""
        connector = await self._connections.renewed(connection_id)
        if isinstance(connector, Account):
            try:
                await connector.identify()
            except AuthenticationError as again:
                error = again
            except ConnectorError as other:
                log.info("connection_not_probed", connection=connection_id, error=other.message)
                return await self._pause(connection_id)
            else:
                await self._admit(connection_id)
                return None
        elif error is None:
            self._trying.add(connection_id)  # the work itself is the probe
            return None
        refused, now = error, self._desk.clock.now()

        def work(tx: Tx) -> None:
            mark_refused(tx, connection_id, refused.message, now)
            self._tell(tx, connection_id)

        await self._store.write(work)
        return await self._pause(connection_id)

    async def _admit(self, connection_id: str) -> None:
        """End the refusal: the credentials were accepted."""
        self._trying.discard(connection_id)
        now = self._desk.clock.now()

        def work(tx: Tx) -> bool:
            tx.after_commit(self._desk.log.on_scheduled)
            return clear_refused(tx, connection_id, now)

        if await self._store.write(work):
            log.info("connection_works_again", connection=connection_id)

    async def _pause(self, connection_id: str) -> ConnectionPausedError | None:
        refusal = await self._store.read(lambda tx: load_refusal(tx, connection_id))
        if refusal is None:
            return None  # renewed this very moment
        return ConnectionPausedError(
            f"Nothing is sent: {refusal.why}",
            retry_after_s=refusal.wait_s(self._desk.clock.now()) + _BEHIND_PROBE_S,
            connection=connection_id,
        )

    def _tell(self, tx: Tx, connection_id: str) -> None:
        """Send `Integration.error` to whoever has an integration with the connection, once."""
        refusal = take_untold(tx, connection_id)
        if refusal is None:
            return
        users = {
            (route.plan.integration_id, route.plan.business_id, route.at.platform)
            for route in self._desk.plans.spokes()
            if route.at.connection_id == connection_id
        }
        self._desk.log.append(tx, [_draft(refusal, *user) for user in sorted(users)])
        tx.after_commit(
            lambda: log.error("connection_refused", connection=connection_id, error=refusal.why)
        )


def _draft(refusal: Refusal, integration_id: str, business_id: str, platform: str) -> EventDraft:
    return EventDraft(
        type=Integration.error.name,
        key=integration_id,
        payload={
            "id": integration_id,
            "integration_id": integration_id,
            "connection_id": refusal.connection_id,
            "platform": platform,
            "code": AuthenticationError.code,
            "error": refusal.why,
            "since": refusal.since.isoformat(),
        },
        business_id=business_id,
        source=SOURCE + "engine",
    )


def _again(error: ConnectorError) -> TransientError:
    again = TransientError(
        f"{error.message} Another call was not refused; this one is tried again.",
        platform=error.platform,
        operation=error.operation,
        status=error.status,
    )
    again.__cause__ = error
    return again
