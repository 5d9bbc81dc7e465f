"""
How much of what came in may wait for its commit; beyond that a sender is told to come again.

    is_full  -> 503 before anything is read: nothing was accepted, so nothing is lost
    stalled  -> a commit took too long: 503 for everybody until the database has caught up
"""

from __future__ import annotations

import asyncio

import structlog

from dovetail.core.clock import Clock
from dovetail.errors import StoreError
from dovetail.runtime.patience import is_refusal
from dovetail.runtime.store.port import Store, Tx

log = structlog.get_logger("dovetail.intake")

_ASK_AGAIN_S = 1.0


class IntakeRoom:
    """
    Counts the requests that wait for their commit, and the bytes of their bodies.

    Args:
        store: Where they are committed.
        clock: Time.
        requests: Most that may wait.
        size: Most bytes of theirs.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        requests: int = 2_048,
        size: int = 64 * 1024 * 1024,
    ) -> None:
        self._store = store
        self._clock = clock
        self._requests = requests
        self._size = size
        self._catching_up: asyncio.Task[None] | None = None
        self._is_told = False
        self.waiting = 0
        """Requests that wait for their commit."""
        self.held = 0
        """Bytes of their bodies."""

    @property
    def is_full(self) -> bool:
        """Whether whoever comes now is to come again."""
        full = (
            self._catching_up is not None
            or self.waiting >= self._requests
            or self.held >= self._size
        )
        if full != self._is_told:
            self._is_told = full
            if full:
                log.warning("webhooks_refused", waiting=self.waiting, bytes=self.held)
            else:
                log.info("webhooks_accepted_again")
        return full

    def enter(self, size: int) -> None:
        """
        Count a request whose body has been read.

        Raises:
            StoreError: There is no room any more; others came in while it was read.
        """
        if self.is_full:
            raise StoreError("Too much waits for the database already.")
        self.waiting += 1
        self.held += size

    def leave(self, size: int) -> None:
        """Count one that was answered."""
        self.waiting -= 1
        self.held -= size

    def stalled(self) -> None:
        """Note that a write was given up; it stays with the database, so no more may follow it."""
        if self._catching_up is None:
            self._catching_up = asyncio.create_task(self._catch_up(), name="intake-catch-up")

    async def _catch_up(self) -> None:
        # Writes are committed in order: once this one is, nothing is left of those given up.
        try:
            while True:
                try:
                    await self._store.write(_nothing)
                    return
                except StoreError as error:
                    if not is_refusal(error):  # closed: there is nothing to wait for
                        return
                await self._clock.sleep(_ASK_AGAIN_S)
        finally:
            self._catching_up = None


def _nothing(tx: Tx) -> None:
    del tx
