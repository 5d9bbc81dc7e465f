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

    @property
    def position(self) -> int:
        """The number up to which every delivery has been taken over; the sweep reads on from it."""
        ...

    @property
    def room(self) -> int:
        """How many more deliveries fit now."""
        ...

    def offer(self, first: int, last: int, ready: Sequence[Delivery]) -> None:
        """
        Tell of the deliveries numbered *first* to *last*, of which *ready* can run.

        Called on the event loop right after their commit, in commit order, and by the sweep.
        Never blocks: what does not fit, or does not join up with `position`, is left to the sweep.
        """
        ...

    def redeliver(self, ready: Sequence[Delivery]) -> None:
        """Carry deliveries that are older than `position` (a delay ran out, a replay)."""
        ...

    async def receive(self, max_items: int) -> list[Delivery]:
        """Wait for at least one delivery; an empty list means that the bus was closed."""
        ...

    def settle(self, finished: Sequence[Delivery]) -> None:
        """Say that these are finished in the store and need not be carried again."""
        ...

    async def wait_behind(self) -> None:
        """Wait until something was left to the sweep and there is room for it."""
        ...

    async def close(self) -> None:
        """Wake whoever waits, and stop."""
        ...
