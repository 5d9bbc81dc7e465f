"""
The Bus port: tells workers of committed deliveries. The truth stays in the store.

A bus may lose, repeat and reorder; the store's open deliveries are what must be run, and a sweep
offers again whatever no worker has finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from dovetail.runtime.delivery import Delivery

Flow = tuple[str, str]
"""The deliveries of one handler for one tenant: what memory and turns are shared out between."""


class Want(NamedTuple):
    """A flow to be read on from the store: after which number, and how many at most."""

    flow: Flow
    after: int
    most: int


class Bus(Protocol):
    """Carries committed deliveries to workers. One contract suite holds every adapter to it."""

    @property
    def position(self) -> int:
        """The number up to which every delivery has been carried, or noted as left in the store."""
        ...

    @property
    def room(self) -> int:
        """How many more deliveries fit now."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether something that can run is left in the store."""
        ...

    def offer(self, first: int, last: int, ready: Sequence[Delivery]) -> None:
        """
        Tell of the deliveries numbered *first* to *last*, of which *ready* can run.

        Called on the event loop right after their commit, in commit order. Never blocks: what
        does not fit, or does not join up with `position`, is left to the sweep.
        """
        ...

    def redeliver(self, ready: Sequence[Delivery]) -> None:
        """
        Carry deliveries that are older than `position` (a delay ran out, a replay).

        One that is still held is carried again when it is settled.
        """
        ...

    def leave(self, flows: Sequence[Flow], after: int, last: int) -> None:
        """
        Note that numbers *after* to *last* were not offered, and which flows have some of them.

        The sweep found out (start, other processes); `position` moves to *last*.
        """
        ...

    def wants(self) -> list[Want]:
        """Return the flows with something left in the store and room for it, each in its turn."""
        ...

    def fill(self, want: Want, found: Sequence[Delivery], up_to: int | None) -> None:
        """
        Carry what the sweep read of a flow, in order.

        *up_to* is given when there was no more up to that number: the flow has caught up, unless
        something later was left meanwhile.
        """
        ...

    def look_again(self) -> None:
        """Find flows that have room by now; called now and then."""
        ...

    async def receive(self, max_items: int) -> list[Delivery]:
        """Wait for at least one delivery; an empty list means that the bus was closed."""
        ...

    def settle(self, finished: Sequence[Delivery]) -> None:
        """Say that these are finished in the store and need not be carried again."""
        ...

    async def wait_behind(self) -> None:
        """Wait until something was left to the sweep that there is room for."""
        ...

    async def close(self) -> None:
        """Wake whoever waits, and stop."""
        ...
