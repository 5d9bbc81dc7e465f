"""
Gates: what holds a lane that is due because of the others of its handler.

    concurrency   counts runs in a scope (the handler, or a key of a tenant)
    throttle      remembers the starts of the last window in a scope, across restarts

A lane that may not start is held in the scope that refused it, tenant by tenant, and comes back
when a place is free or the window has moved on.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from dovetail.core import json
from dovetail.runtime.flow import Concurrency, Flow, Throttle, scope_of
from dovetail.runtime.lane import FairLanes, Lane

# A window is remembered start by start up to so many, beyond that in so many pieces; the starts of
# a piece leave the window with its last one, which errs towards too few, never towards too many.
_PIECES = 100


class Window:
    """The starts of the last *per_s* seconds in one scope, and who waits for the next."""

    __slots__ = ("_pieces", "_started", "held", "is_timed", "limit", "per_s")

    def __init__(self, limit: int, per_s: float) -> None:
        self.limit = limit
        self.per_s = per_s
        self.held = FairLanes()
        self.is_timed = False
        self._pieces: deque[list[float]] = deque()  # [first, last, count]
        self._started = 0

    def wait_s(self, now: float) -> float:
        """Return for how long nothing may start; zero when something may."""
        while self._pieces and now - self._pieces[0][1] >= self.per_s:
            self._started -= int(self._pieces.popleft()[2])
        if self._started < self.limit:
            return 0.0
        return self._pieces[0][1] + self.per_s - now

    def start(self, now: float) -> None:
        """Note a start."""
        self._started += 1
        piece_s = self.per_s / _PIECES if self.limit > _PIECES else 0.0
        if self._pieces and now - self._pieces[-1][0] < piece_s:
            self._pieces[-1][1] = now
            self._pieces[-1][2] += 1
        else:
            self._pieces.append([now, now, 1])

    @property
    def free(self) -> int:
        """How many may start, as of the last `wait_s`."""
        return self.limit - self._started

    def is_over(self, now: float) -> bool:
        """Whether nothing is remembered any more and nobody waits."""
        self.wait_s(now)
        return not (self._pieces or self.held.count or self.is_timed)

    def to_record(self, now: float, wall: int) -> bytes:
        """Return the starts in wall time, as they are stored."""
        ages = ([round((now - last) * 1e6), count] for _, last, count in self._pieces)
        return json.encode([[wall - age, int(count)] for age, count in ages])

    def restore(self, record: bytes, now: float, wall: int) -> None:
        """Take over stored starts; one in the future, of a clock that was set back, is one now."""
        self._pieces.clear()
        self._started = 0
        for at, count in json.decode(record):
            moment = now - max(wall - at, 0) / 1_000_000
            self._pieces.append([moment, moment, count])
            self._started += count


class _Places:
    """How many run in one scope, and who waits for a place."""

    __slots__ = ("held", "running")

    def __init__(self) -> None:
        self.held = FairLanes()
        self.running = 0


class Entry(NamedTuple):
    """Whether a lane may start; if not, which other may try, and the window it waits for."""

    may_start: bool
    instead: Lane | None = None
    window: str | None = None


class Gates:
    """
    The gates of one handler.

    Args:
        flow: What the handler declares.
    """

    def __init__(self, flow: Flow) -> None:
        self._concurrency: Concurrency | None = flow.concurrency
        self._throttle: Throttle | None = flow.throttle
        self._places: dict[str, _Places] = {}
        self.windows: dict[str, Window] = {}
        """The throttle's windows by scope."""
        self._prune_at = 1_000

    def enter(self, lane: Lane, now: float) -> Entry:
        """Let a lane start and count it, or hold it until `leave` or `release` gives it back."""
        event = lane.waiting[0].event
        places: _Places | None = None
        place = window_scope = None
        if self._concurrency is not None:
            place = scope_of(self._concurrency, event)
            places = self._places.setdefault(place, _Places())
            if places.running >= self._concurrency.limit:
                places.held.add(lane)
                return Entry(may_start=False)
        if self._throttle is not None:
            window_scope = scope_of(self._throttle, event)
            window = self.window(window_scope, now)
            if window.wait_s(now) > 0:
                window.held.add(lane)
                instead = places.held.next() if places is not None else None
                return Entry(may_start=False, instead=instead, window=window_scope)
            window.start(now)
        if places is not None:
            places.running += 1
        lane.place, lane.window = place, window_scope
        return Entry(may_start=True, window=window_scope)

    def leave(self, place: str) -> Lane | None:
        """Give a place back, and return a held lane that may try now."""
        places = self._places[place]
        places.running -= 1
        lane = places.held.next()
        if lane is None and not places.running:
            del self._places[place]
        return lane

    def release(self, scope: str, now: float) -> list[Lane]:
        """Return the held lanes that may start now."""
        window = self.windows[scope]
        if window.wait_s(now) > 0:
            return []
        lanes = (window.held.next() for _ in range(min(window.free, window.held.count)))
        return [lane for lane in lanes if lane is not None]

    def window(self, scope: str, now: float) -> Window:
        """Return the window of a scope, new if nothing is known of it."""
        assert self._throttle is not None  # noqa: S101 - only asked where there is one
        window = self.windows.get(scope)
        if window is None:
            if len(self.windows) >= self._prune_at:
                self._prune(now)
            window = Window(self._throttle.limit, self._throttle.per_s)
            self.windows[scope] = window
        return window

    def _prune(self, now: float) -> None:
        for scope in [scope for scope, one in self.windows.items() if one.is_over(now)]:
            del self.windows[scope]
        self._prune_at = max(2 * len(self.windows), 1_000)
