"""
When the database refuses (locked, full): everything waits, it is said once, and all goes on.

Whoever needs the database insists; the first refusal is logged and new runs are held back, the
first success is logged and they go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from dovetail.core.clock import Clock
from dovetail.core.log import get_logger
from dovetail.errors import StoreError

T = TypeVar("T")

log = get_logger("dovetail.store")

_LONGEST_PAUSE_S = 5.0


class Patience:
    """Knows whether the database refuses, for everybody who uses it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self.on_accepted: Callable[[], None] = _nothing
        """Called when the database takes work again."""

    @property
    def is_refused(self) -> bool:
        """Whether the database refuses at the moment."""
        return self._since is not None

    def refused(self, error: StoreError) -> None:
        """Note a refusal; say so if it is the first."""
        if self._since is None:
            self._since = self._clock.monotonic()
            log.warning("store_refused", error=error.message, next="waits, and goes on by itself")

    def accepted(self) -> None:
        """Note a success; say so if it ends a refusal."""
        if self._since is not None:
            waited_s = self._clock.monotonic() - self._since
            self._since = None
            log.info("store_accepts_again", after_s=round(waited_s, 1))
            self.on_accepted()

    async def insist(self, work: Callable[[], Awaitable[T]], *, any_refusal: bool = True) -> T:
        """
        Do *work* until the database takes it.

        Args:
            work: Called again after each refusal.
            any_refusal: Insist on whatever the database says; else only where the database as a
                whole refuses, not this piece of work.

        Raises:
            StoreError: The database refused this piece of work alone.
        """
        pause_s = 1.0
        while True:
            try:
                done = await work()
            except StoreError as error:
                if not any_refusal and not is_refusal(error):
                    raise
                self.refused(error)
            else:
                self.accepted()
                return done
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s + 1.0, _LONGEST_PAUSE_S)


def is_refusal(error: BaseException | None) -> bool:
    """Return whether the database as a whole refused: full, locked, read-only."""
    return isinstance(error, StoreError) and error.facts.get("refusal") is not None


def _nothing() -> None: ...
