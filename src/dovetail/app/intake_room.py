"""
How much of what came in may wait for its commit; beyond that a sender is told to come again.

    is_full   -> 503 before anything is read: nothing was accepted, so nothing is lost
    given up  -> answered 503 after some seconds, but still with the database: it counts as waiting
                 until the database has caught up
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from dovetail.errors import StoreError
from dovetail.runtime.store.port import Store, Tx

log = structlog.get_logger("dovetail.intake")


class IntakeRoom:
    """
    Counts the requests that wait for their commit, and the bytes of their bodies.

    Args:
        store: Where they are committed.
        requests: Most that may wait.
        size: Most bytes of theirs.
    """

    def __init__(
        self,
        store: Store,
        *,
        requests: int = 2_048,
        size: int = 64 * 1024 * 1024,
    ) -> None:
        self._store = store
        self._requests = requests
        self._size = size
        self._given_up: list[int] = []
        self._catching_up: asyncio.Task[None] | None = None
        self._is_told = False
        self._waiting = 0  # requests, for their commit
        self._held = 0  # bytes of their bodies

    @property
    def is_full(self) -> bool:
        """Whether whoever comes now is to come again."""
        full = self._waiting >= self._requests or self._held >= self._size
        if full != self._is_told:
            self._is_told = full
            if full:
                log.warning("webhooks_refused", waiting=self._waiting, bytes=self._held)
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
        self._waiting += 1
        self._held += size

    def leave(self, size: int) -> None:
        """Count one whose write is over."""
        self._waiting -= 1
        self._held -= size

    def give_up(self, size: int) -> None:
        """Note that one was answered whose write is still with the database."""
        self._given_up.append(size)
        if self._catching_up is None:
            self._catching_up = asyncio.create_task(self._catch_up(), name="intake-catch-up")

    async def _catch_up(self) -> None:
        # Writes are done in order: once this one is, nothing is left of those before it.
        try:
            while self._given_up:
                before, self._given_up = self._given_up, []
                with suppress(StoreError):
                    await self._store.write(_nothing)
                for size in before:
                    self.leave(size)
        finally:
            self._catching_up = None


def _nothing(tx: Tx) -> None:
    del tx
