"""
Lanes: the deliveries of one handler, tenant and key, processed one at a time and in order.

A lane is *waiting* (its head is due later), *ready*, or *running*. Ready lanes of one handler are
served first come, first served; batch handlers take many ready lanes of one group at once.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from dovetail.runtime.delivery import Delivery
from dovetail.runtime.handler import HandlerSpec

LaneKey = tuple[str, str, str]


class Lane:
    """The waiting deliveries of one key, oldest first."""

    __slots__ = ("group", "key", "running", "spec", "waiting")

    def __init__(self, key: LaneKey, spec: HandlerSpec, group: str) -> None:
        self.key = key
        self.spec = spec
        self.group = group
        self.waiting: deque[Delivery] = deque()
        self.running = False

    def take(self) -> list[Delivery]:
        """Remove and return what one run serves: everything when coalescing, else the head."""
        if self.spec.coalesce:
            taken = list(self.waiting)
            self.waiting.clear()
            return taken
        return [self.waiting.popleft()]

    def put_back(self, deliveries: list[Delivery]) -> None:
        """Return deliveries to the head of the lane, in their order."""
        self.waiting.extendleft(reversed(deliveries))


class ReadyGroup:
    """Ready lanes that may be served together, and how many servings run now."""

    __slots__ = ("lanes", "oldest_at", "running", "spec")

    def __init__(self, spec: HandlerSpec) -> None:
        self.spec = spec
        self.lanes: OrderedDict[LaneKey, Lane] = OrderedDict()
        self.running = 0
        self.oldest_at = 0.0

    @property
    def limit(self) -> int:
        """How many servings may run at the same time."""
        batch = self.spec.batch
        return batch.concurrency if batch is not None else self.spec.concurrency

    def add(self, lane: Lane, now: float) -> None:
        """Make a lane ready."""
        if not self.lanes:
            self.oldest_at = now
        self.lanes[lane.key] = lane

    def linger_left(self, now: float) -> float:
        """Return for how many seconds more lanes should be waited for."""
        batch = self.spec.batch
        if batch is None or len(self.lanes) >= batch.size:
            return 0.0
        return self.oldest_at + batch.linger_s - now

    def next_lanes(self) -> list[Lane]:
        """Remove and return the lanes of the next serving."""
        size = self.spec.batch.size if self.spec.batch is not None else 1
        return [self.lanes.popitem(last=False)[1] for _ in range(min(size, len(self.lanes)))]
