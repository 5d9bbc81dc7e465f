"""
The bus inside one process: a bounded queue in memory, shared out between handlers and tenants.

    offered -> carried, while its flow (a handler's deliveries of one tenant) has a share left
            -> left in the store otherwise, flow by flow; the sweep reads on where a flow has room

A flow may hold as much as is free (so one alone gets half of the memory, two a third each, and a
newcomer always finds room), a handler three times as much.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from dovetail.runtime.bus.port import Bus, Flow, Want
from dovetail.runtime.delivery import Delivery

_READ_AT_ONCE = 1_000
_GAPS = 1_000


class _Left:
    """What of a flow was left in the store: everything after *after*, up to *newest* at least."""

    __slots__ = ("after", "newest")

    def __init__(self, after: int, newest: int) -> None:
        self.after = after
        self.newest = newest


class LocalBus(Bus):
    """
    Hands deliveries to the dispatcher of the same process.

    Args:
        capacity: Deliveries held in memory at most, and one for each flow beyond that; the rest
            waits in the store.
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._queue: deque[Delivery] = deque()
        self._held: set[int] = set()
        self._shares: dict[Flow, int] = {}
        self._handlers: dict[str, int] = {}
        self._left: dict[Flow, _Left] = {}
        self._hungry: dict[Flow, None] = {}
        self._again: dict[int, Delivery] = {}
        self._settled: set[int] | None = None  # while a sweep reads: what ends meanwhile
        self._gaps: list[tuple[int, int, Sequence[Delivery]]] = []
        self._position = 0
        self._arrived = asyncio.Event()
        self._behind = asyncio.Event()
        self._end = 0  # the highest number heard of; beyond `position`: left to the sweep
        self._closed = False

    @property
    def position(self) -> int:
        """The number up to which every delivery has been carried, or noted as left."""
        return self._position

    @property
    def room(self) -> int:
        """How many more deliveries fit now."""
        return max(self._capacity - len(self._held), 0)

    @property
    def is_behind(self) -> bool:
        """Whether something is left in the store."""
        return bool(self._left) or self._end > self._position

    def offer(self, first: int, last: int, ready: Sequence[Delivery]) -> None:
        """Carry the deliveries that join up with `position` and whose flow has room."""
        self._end = max(self._end, last)
        if first > self._position + 1:
            # Somebody else's are missing in between; kept for when the sweep has found those.
            if len(self._gaps) < _GAPS:
                self._gaps.append((first, last, ready))
            self._tell_behind()
            return
        position = self._position
        self._position = max(position, last)
        for delivery in ready:
            if delivery.id > position and delivery.id not in self._held:
                self._carry(delivery)
        self._tell_behind()

    def redeliver(self, ready: Sequence[Delivery]) -> None:
        """Carry deliveries whatever their number; one that is still held, when it is settled."""
        for delivery in ready:
            if delivery.id in self._held:
                self._again[delivery.id] = delivery
            else:
                self._carry(delivery)
        self._tell_behind()

    def leave(self, flows: Sequence[Flow], after: int, last: int) -> None:
        """Note that these flows are all that has open deliveries between *after* and *last*."""
        for flow in flows:
            left = self._left.get(flow)
            if left is None:
                self._left[flow] = _Left(after, last)
            else:
                left.after, left.newest = min(left.after, after), max(left.newest, last)
            self._see_hunger(flow)
        self._position = max(self._position, last)
        self._end = max(self._end, last)
        gaps, self._gaps = self._gaps, []
        for gap in gaps:
            self.offer(*gap)
        self._tell_behind()

    def wants(self) -> list[Want]:
        """Return the flows to be read on, in turn, and where; call before reading."""
        self._settled = set()
        found: list[Want] = []
        for flow in self._hungry:
            # Each one that is taken makes the share smaller by two: one held more, one free less.
            most = max((self._share_left(flow) + 1) // 2, 1)
            found.append(Want(flow, self._left[flow].after, min(most, _READ_AT_ONCE)))
        self._hungry.clear()
        self._behind.clear()
        return found

    def fill(self, want: Want, found: Sequence[Delivery], up_to: int | None) -> None:
        """Carry what was read of a flow; *up_to* says that it was all up to that number."""
        left = self._left.get(want.flow)
        if left is None or left.after < want.after:
            self._see_hunger(want.flow)
            return
        for delivery in found:
            if delivery.id not in self._held and delivery.id not in (self._settled or ()):
                if self._share_left(want.flow) <= 0:
                    break
                self._take(delivery)
            left.after = max(left.after, delivery.id)
        else:
            if up_to is not None and left.newest <= up_to:
                del self._left[want.flow]
                self._hungry.pop(want.flow, None)
                return
        self._see_hunger(want.flow)

    def look_again(self) -> None:
        """See which flows have room by now, though nothing of theirs was settled."""
        for flow in self._left:
            self._see_hunger(flow)
        self._tell_behind()

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
        for delivery in finished:
            if delivery.id not in self._held:
                continue
            self._held.discard(delivery.id)
            flow = (delivery.handler, delivery.event.business_id)
            _take_one(self._shares, flow)
            _take_one(self._handlers, delivery.handler)
            again = self._again.pop(delivery.id, None) if self._again else None
            if again is not None:
                self._carry(again)
            elif self._settled is not None:
                self._settled.add(delivery.id)
            if self._left:
                self._see_hunger(flow)
        self._tell_behind()

    async def wait_behind(self) -> None:
        """Wait until a flow that was left in the store has room, or numbers are missing."""
        self._settled = None
        self._behind.clear()
        self._tell_behind()
        await self._behind.wait()

    async def close(self) -> None:
        """Wake the receiver."""
        self._closed = True
        self._arrived.set()

    def _carry(self, delivery: Delivery) -> None:
        """Take a delivery, or leave it in the store if its flow has no room or is behind."""
        flow = (delivery.handler, delivery.event.business_id)
        left = self._left.get(flow) if self._left else None
        if left is not None:
            left.after = min(left.after, delivery.id - 1)
            left.newest = max(left.newest, delivery.id)
            self._see_hunger(flow)
        elif self._share_left(flow) > 0:
            self._take(delivery)
        else:
            self._left[flow] = _Left(delivery.id - 1, delivery.id)

    def _share_left(self, flow: Flow) -> int:
        held = self._shares.get(flow, 0)
        free = self._capacity - len(self._held)
        if not held:
            return max(min(free, 3 * free - self._handlers.get(flow[0], 0)), 1)
        return min(free - held, 3 * free - self._handlers[flow[0]])

    def _see_hunger(self, flow: Flow) -> None:
        # Half of the share at once rather than one by one: a read costs the same for both.
        if flow in self._left and flow not in self._hungry:
            room = self._share_left(flow)
            if room > 0 and room >= min(self._shares.get(flow, 0), _READ_AT_ONCE):
                self._hungry[flow] = None

    def _take(self, delivery: Delivery) -> None:
        self._held.add(delivery.id)
        flow = (delivery.handler, delivery.event.business_id)
        self._shares[flow] = self._shares.get(flow, 0) + 1
        self._handlers[delivery.handler] = self._handlers.get(delivery.handler, 0) + 1
        self._queue.append(delivery)
        self._arrived.set()

    def _tell_behind(self) -> None:
        if self._hungry or self._end > self._position:
            self._behind.set()


def _take_one(counts: dict[Flow, int] | dict[str, int], name: object) -> None:
    left = counts[name] - 1  # type: ignore[index]
    if left:
        counts[name] = left  # type: ignore[index]
    else:
        del counts[name]  # type: ignore[arg-type]
