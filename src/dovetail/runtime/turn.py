"""
Turns: which handler starts its next run while places are scarce.

    Turns          handlers with something ready: first the one that had fewest for its priority
    HandlerQueue   the ready groups of one handler in turn, its tenants in turn, its gates
    Places         how many runs there may be, so shared out that a newcomer finds a place
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

from dovetail.runtime.flow import PRIORITIES
from dovetail.runtime.gate import Gates
from dovetail.runtime.handler import HandlerSpec
from dovetail.runtime.lane import Lane, ReadyGroup

# A run begins this late at most before there are fewer places: what a newcomer waits for is the
# first lines of those that were started before it.
_LATE_S = 0.05
FEW = 128
"""Places there are however late runs begin."""

# Runs of batch handlers wait for platforms most of their time. Each group of them has a limit of
# its own, so that the sum may be large: a platform that hangs in a thousand connections must not
# take the places of the others.
_BATCHES_PER_PLACE = 8


class HandlerQueue:
    """What of one handler is ready and what runs."""

    def __init__(self, spec: HandlerSpec) -> None:
        self.spec = spec
        self.weight = spec.flow.priority
        self.share = self.weight / PRIORITIES["normal"]
        self.lane_key = spec.flow.lane_key
        self.gates = Gates(spec.flow) if spec.flow.has_gates else None
        self.gathers = spec.flow.debounce is not None or spec.flow.batch is not None
        self.skips = spec.flow.singleton is not None and spec.flow.singleton.mode == "skip"
        self.groups: dict[str, ReadyGroup] = {}
        self.running = 0
        self.running_of: dict[str, int] = {}
        self.passed = 0.0
        self.in_turn = False
        self._ready: deque[ReadyGroup] = deque()

    @property
    def is_ready(self) -> bool:
        """Whether a group waits for its turn."""
        return bool(self._ready)

    def add(self, lane: Lane, now: float) -> ReadyGroup:
        """Make a lane ready; return its group, which may want to linger."""
        group = self.groups.get(lane.group)
        if group is None:
            group = self.groups[lane.group] = ReadyGroup(self.spec)
        group.add(lane, now)
        return group

    def queue(self, group: ReadyGroup) -> None:
        """Give a group a turn if there is something to start."""
        if not group.in_turn and group.is_startable:
            group.in_turn = True
            self._ready.append(group)

    def next(self, may_run: Callable[[str], bool] | None) -> tuple[ReadyGroup, list[Lane]] | None:
        """Remove and return the lanes of the next serving; None when none may start now."""
        for _ in range(len(self._ready)):
            group = self._ready.popleft()
            group.in_turn = False
            if not group.is_startable:
                continue
            lanes = group.next_lanes(may_run)
            self.queue(group)
            if lanes:
                return group, lanes
        return None

    def began(self, group: ReadyGroup, lanes: list[Lane]) -> None:
        """Count a serving."""
        group.running += 1
        self.running += 1
        tenant = lanes[0].business_id
        self.running_of[tenant] = self.running_of.get(tenant, 0) + 1

    def ended(self, group: ReadyGroup, lanes: list[Lane]) -> None:
        """Count the end of a serving."""
        group.running -= 1
        self.running -= 1
        tenant = lanes[0].business_id
        left = self.running_of[tenant] - 1
        if left:
            self.running_of[tenant] = left
        else:
            del self.running_of[tenant]
        self.queue(group)
        if group.is_over:
            self.groups.pop(lanes[0].group, None)


class Turns:
    """Handlers that wait for a turn: a weight of eight gets eight turns while another gets one."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, HandlerQueue]] = []
        self._count = 0
        self._passed = 0.0

    def add(self, queue: HandlerQueue) -> None:
        """Let a handler wait for its turn, unless it does."""
        if queue.in_turn or not queue.is_ready:
            return
        queue.in_turn = True
        # Who comes back has not saved up turns while it had nothing to do.
        queue.passed = max(queue.passed, self._passed)
        self._count += 1
        heapq.heappush(self._waiting, (queue.passed, self._count, queue))

    def next(self) -> HandlerQueue | None:
        """Remove and return the handler whose turn it is."""
        if not self._waiting:
            return None
        passed, _, queue = heapq.heappop(self._waiting)
        queue.in_turn = False
        self._passed = max(self._passed, passed)
        return queue


class Places:
    """
    How many runs there may be at the same time.

    A handler may have up to three times as many as are free, one tenant's share of it as many as
    are free: a single tenant gets half of all, and whatever hangs leaves places for the rest. A
    high priority makes that more, a low one less.

    Runs that wait for the disk or the network want many places; many that compute would keep a
    newcomer from its first line. So there are few at first, one more for each run that began at
    once, and half as many when one began late.

    Args:
        count: All places for ordinary runs.
    """

    def __init__(self, count: int) -> None:
        self._most = count
        self._count = min(count, FEW)
        self._batches = max(self._count * _BATCHES_PER_PLACE, count)
        self.running = 0
        self.batches = 0

    def are_free(self, queue: HandlerQueue) -> bool:
        """Return whether a handler may start a run."""
        if queue.spec.batch is not None:
            free = self._batches - self.batches
            return free > 0 and queue.running < max(3 * free * queue.share, 1)
        free = self._count - self.running
        limit = queue.spec.concurrency
        if free <= 0 or (limit is not None and queue.running >= limit):
            return False
        return queue.running < max(3 * free * queue.share, 1)

    def tenant_check(self, queue: HandlerQueue) -> Callable[[str], bool] | None:
        """Return what says whether a tenant may have another run of this handler."""
        if queue.spec.batch is not None:
            return None
        most = max((self._count - self.running) * queue.share, 1)
        running_of = queue.running_of
        return lambda tenant: running_of.get(tenant, 0) < most

    def began_after(self, late_s: float) -> None:
        """Note how long after its start a run came to its first line."""
        if late_s > _LATE_S:
            self._count = min(max(self._count // 2, FEW), self._most)
        elif self._count < self._most:
            self._count += 1

    def take(self, queue: HandlerQueue) -> None:
        """Count a run."""
        if queue.spec.batch is not None:
            self.batches += 1
        else:
            self.running += 1

    def give_back(self, queue: HandlerQueue) -> None:
        """Count the end of a run."""
        if queue.spec.batch is not None:
            self.batches -= 1
        else:
            self.running -= 1
