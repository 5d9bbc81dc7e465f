"""The bus inside one process: a bounded queue in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from dovetail.runtime.bus.port import Bus
from dovetail.runtime.delivery import Delivery


class LocalBus(Bus):
    """
    Hands deliveries to the dispatcher of the same process.

    Args:
        capacity: Deliveries held in memory at most; the rest waits in the store.
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._queue: deque[Delivery] = deque()
        self._held: set[int] = set()
        self._position = 0
        self._arrived = asyncio.Event()
        self._behind = asyncio.Event()
        self._end = 0  # the highest number heard of; beyond `position`: left to the sweep
        self._closed = False

    @property
    def position(self) -> int:
        """The number up to which every delivery has been taken over."""
        return self._position

    @property
    def room(self) -> int:
        """How many more deliveries fit now."""
        return max(self._capacity - len(self._held), 0)

    def offer(self, first: int, last: int, ready: Sequence[Delivery]) -> None:
        """Take over the deliveries if they join up with `position` and fit."""
        new = [delivery for delivery in ready if delivery.id > self._position]
        self._end = max(self._end, last)
        if first > self._position + 1 or len(new) > self.room:
            self._tell_behind()
            return
        self._position = max(self._position, last)
        self._take(new)

    def redeliver(self, ready: Sequence[Delivery]) -> None:
        """Take deliveries whatever their number."""
        self._take([delivery for delivery in ready if delivery.id not in self._held])

    async def receive(self, max_items: int) -> list[Delivery]:
        """Wait for at least one delivery."""
        while not self._queue:
            if self._closed:
                return []
            self._arrived.clear()
            await self._arrived.wait()
        count = min(max_items, len(self._queue))
        return [self._queue.popleft() for _ in range(count)]

    def settle(self, finished: Sequence[Delivery]) -> None:
        """Make room."""
        self._held.difference_update(delivery.id for delivery in finished)
        self._tell_behind()

    async def wait_behind(self) -> None:
        """Wait until something was left out and at least half of the capacity is free."""
        self._behind.clear()
        self._tell_behind()
        await self._behind.wait()

    async def close(self) -> None:
        """Wake the receiver."""
        self._closed = True
        self._arrived.set()

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            self._held.update(delivery.id for delivery in deliveries)
            self._queue.extend(deliveries)
            self._arrived.set()

    def _tell_behind(self) -> None:
        if self._end > self._position and self.room * 2 >= self._capacity:
            self._behind.set()
