"""
Lanes: the deliveries of one handler, tenant and key, processed one at a time and in order.

A lane is *waiting* (until its head is due, or quiet, or enough have come), *ready*, *held* (by a
limit of its handler), or *running*. What the key is, and how many a run serves, is the handler's
flow control.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable

from dovetail.runtime.delivery import Delivery
from dovetail.runtime.handler import HandlerSpec

LaneKey = tuple[str, str, str]

IDLE, WAITING, READY, RUNNING = range(4)
"""State of a lane; READY includes held."""


class Lane:
    """The deliveries of one key that wait, oldest first."""

    __slots__ = (
        "first_at",
        "group",
        "key",
        "last_at",
        "place",
        "spec",
        "state",
        "timer",
        "waiting",
        "window",
    )

    def __init__(self, key: LaneKey, spec: HandlerSpec, group: str) -> None:
        self.key = key
        self.spec = spec
        self.group = group
        self.waiting: deque[Delivery] = deque()
        self.state = IDLE
        self.timer: asyncio.TimerHandle | None = None
        # The scopes in which its run counts; see `dovetail.runtime.gate`.
        self.place: str | None = None
        self.window: str | None = None
        self.first_at = self.last_at = 0.0

    @property
    def business_id(self) -> str:
        """The tenant."""
        return self.key[1]

    @property
    def is_suspect(self) -> bool:
        """Whether its head was running when a process died: it runs alone."""
        return self.waiting[0].starts > 0

    def add(self, delivery: Delivery, wall: int, now: float) -> None:
        """Append a delivery; *wall* and *now* are the moment, in microseconds and monotonic."""
        self.waiting.append(delivery)
        if self.spec.flow.debounce is not None or self.spec.flow.batch is not None:
            # How long ago it was sent, whatever the clock was set to meanwhile.
            came_at = now - max(wall - delivery.due_at, 0) / 1_000_000
            self.last_at = max(self.last_at, came_at)
            if len(self.waiting) == 1:
                self.first_at = self.last_at = came_at

    def take(self) -> list[Delivery]:
        """Remove and return what one run serves: the head, a list, or everything."""
        flow = self.spec.flow
        if self.is_suspect and not self.spec.coalesce:
            return [self.waiting.popleft()]
        if self.spec.coalesce or flow.debounce is not None:
            taken = list(self.waiting)
            self.waiting.clear()
            return taken
        if flow.batch is not None:
            count = min(flow.batch.size, len(self.waiting))
            return [self.waiting.popleft() for _ in range(count)]
        return [self.waiting.popleft()]

    def put_back(self, deliveries: list[Delivery], now: float) -> None:
        """Return deliveries to the head of the lane, in their order."""
        if self.spec.flow.batch is not None or self.spec.flow.debounce is not None:
            self.first_at = now
        self.waiting.extendleft(reversed(deliveries))

    def wait_s(self, wall: int, now: float) -> float:
        """Return for how long the lane still has to wait before it may run."""
        head, flow = self.waiting[0], self.spec.flow
        if head.attempt or (flow.debounce is None and flow.batch is None):
            return head.wait_s(wall)
        if flow.debounce is not None:
            quiet_at = self.last_at + flow.debounce.quiet_s
            return min(quiet_at, self.first_at + flow.debounce.max_wait_s) - now
        if flow.batch is not None and len(self.waiting) < flow.batch.size:
            return self.first_at + flow.batch.within_s - now
        return 0.0


class FairLanes:
    """Ready lanes, given out tenant by tenant, so that none waits for another's backlog."""

    __slots__ = ("_tenants", "count")

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, deque[Lane]] = OrderedDict()
        self.count = 0

    def add(self, lane: Lane) -> None:
        """Append a lane to its tenant's."""
        lanes = self._tenants.get(lane.key[1])
        if lanes is None:
            lanes = self._tenants[lane.key[1]] = deque()
        lanes.append(lane)
        self.count += 1

    def next(self, may_run: Callable[[str], bool] | None = None) -> Lane | None:
        """Remove and return the next tenant's oldest lane; None when no tenant may run more."""
        for _ in range(len(self._tenants)):
            tenant, lanes = next(iter(self._tenants.items()))
            if may_run is not None and not may_run(tenant):
                self._tenants.move_to_end(tenant)
                continue
            lane = lanes.popleft()
            self.count -= 1
            if lanes:
                self._tenants.move_to_end(tenant)
            else:
                del self._tenants[tenant]
            return lane
        return None


class ReadyGroup:
    """Ready lanes that may be served together, and how many servings run now."""

    __slots__ = ("in_turn", "lanes", "lingers", "oldest_at", "running", "spec")

    def __init__(self, spec: HandlerSpec) -> None:
        self.spec = spec
        self.lanes = FairLanes()
        self.running = 0
        self.oldest_at = 0.0
        self.in_turn = False
        self.lingers = False

    @property
    def is_startable(self) -> bool:
        """Whether it has lanes and a place for them."""
        batch = self.spec.batch
        return self.lanes.count > 0 and (batch is None or self.running < batch.concurrency)

    @property
    def is_over(self) -> bool:
        """Whether it can be forgotten."""
        return not (self.lanes.count or self.running or self.in_turn or self.lingers)

    def add(self, lane: Lane, now: float) -> None:
        """Make a lane ready."""
        if not self.lanes.count:
            self.oldest_at = now
        self.lanes.add(lane)

    def linger_left(self, now: float) -> float:
        """Return for how many seconds more lanes should be waited for."""
        batch = self.spec.batch
        if batch is None or self.lanes.count >= batch.size:
            return 0.0
        return self.oldest_at + batch.linger_s - now

    def next_lanes(self, may_run: Callable[[str], bool] | None) -> list[Lane]:
        """Remove and return the lanes of the next serving; none when no tenant may run more."""
        size = self.spec.batch.size if self.spec.batch is not None else 1
        found: list[Lane] = []
        while len(found) < size and (lane := self.lanes.next(may_run)) is not None:
            if lane.is_suspect and found:
                self.lanes.add(lane)
                break
            found.append(lane)
            if lane.is_suspect:
                break
        return found
