"""
The Bus port: tells workers of committed deliveries. The truth stays in the store.

A bus may lose, repeat and reorder; the store's open deliveries are what must be run, and a sweep
offers again whatever no worker has finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dovetail.runtime.delivery import Delivery


class Bus(Protocol):
    """Carries committed deliveries to workers. One contract suite holds every adapter to it."""

    def offer(self, first: int, last: int, ready: Sequence[Delivery]) -> None:
        """
        Tell of the deliveries numbered *first* to *last*, of which *ready* can run now.

        Called on the event loop right after their commit, in commit order. Never blocks: what
        cannot be carried now is left to the sweep.
        """
        ...

    async def receive(self, max_items: int) -> list[Delivery]:
        """Wait for at least one delivery; an empty list means that the bus was closed."""
        ...

    def settle(self, finished: Sequence[Delivery]) -> None:
        """Say that these are finished in the store and need not be carried again."""
        ...

    async def close(self) -> None:
        """Wake whoever waits, and stop."""
        ...
