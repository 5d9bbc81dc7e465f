"""
The quota of one account as plain data: its windows, who waits for them, and what is reserved.

Lanes (see `lane`) share each window like this: whoever waits in a higher lane is served before
anybody in a lower one; a lower lane also leaves what the higher ones are expected to use yet in
this window, judged by the last one. The lowest lanes spread their calls over the window, so that
something comes free all the time. Of long windows (a day) a part is always left to the higher
lanes: a first sync in the morning does not keep the evening's changes from travelling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from dovetail.connector_sdk.lane import Lane
from dovetail.connector_sdk.spec import ConcurrencyLimit, RateLimit
from dovetail.connector_sdk.window import (
    SHORTEST_WAIT_S,
    Pausable,
    WindowState,
    delay,
    pace_delay,
    pause_left,
    take,
)

_LONG_S = 3600.0
# What lower lanes leave of a long window, whatever higher lanes did so far.
_LEFT_OF_A_DAY = {Lane.LIVE: 0.0, Lane.USER: 0.03, Lane.RECONCILE: 0.1, Lane.BACKFILL: 0.2}
# However busy the higher lanes were, a lower one may hope for so much of a short window.
_MOST_LEFT = 0.5
# In how many stretches the lowest lanes spread their calls over a short window, and over a day.
_STRETCHES, _STRETCHES_OF_A_DAY = 10, 4
# A claim outlives the moment at which its caller may go by this: it must be there first.
_CLAIM_S = 0.05
_FIRST = "-1"
_SLOT_LOOK_S = 0.2
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


class Demand(msgspec.Struct):
    """What one lane took of a limit in this stretch of time and in the one before."""

    stretch: int = 0
    count: int = 0
    before: int = 0

    def turn(self, stretch: int) -> None:
        """Begin a stretch, if it is a new one."""
        if stretch != self.stretch:
            self.before = self.count if stretch == self.stretch + 1 else 0
            self.stretch, self.count = stretch, 0

    @property
    def expected(self) -> int:
        """How much it will take yet, if this stretch is like the last one."""
        return max(self.before - self.count, 0)


class LimitState(WindowState):
    """One limit's window, its demand by lane, and until when a lane claims what comes free."""

    demand: dict[str, Demand] = {}
    claims: dict[str, float] = {}

    def left_for_higher(self, lane: Lane, limit: RateLimit, size: int, now: float) -> int:
        """Return how many calls of the window a lane has to leave to the lanes above it."""
        if lane is Lane.LIVE:
            return 0
        if limit.per_s >= _LONG_S:
            return int(size * _LEFT_OF_A_DAY[lane])
        if self._is_starved(lane, limit, now):
            return 0
        expected = sum(
            self._demand(higher, limit, now).expected for higher in Lane if higher < lane
        )
        return min(expected, int(size * _MOST_LEFT))

    def claimed_for(self, lane: Lane, limit: RateLimit, now: float) -> float:
        """Return how long a lane has to let the lanes above it go first."""
        if self._is_starved(lane, limit, now):
            return 0.0
        ends = [end for name, end in self.claims.items() if int(name) < lane]
        # Longer than the window is no claim: the clock was set back.
        return max((end - now for end in ends if end - now <= limit.per_s + 1), default=0.0)

    def pace(self, lane: Lane, limit: RateLimit, size: int, now: float) -> float:
        """Return how long a lane has to wait to spread its calls over the window."""
        is_long = limit.per_s >= _LONG_S
        if lane < Lane.RECONCILE or (is_long and lane < Lane.BACKFILL):
            return 0.0
        if not is_long and self._is_starved(lane, limit, now):
            return 0.0
        share = _STRETCHES_OF_A_DAY if is_long else _STRETCHES
        # A tenth more than its share: what a stretch missed may be caught up in the next ones.
        most = math.ceil((1.0 if is_long else 1.1) * size / share)
        return pace_delay(self, most, share, limit.per_s, now)

    def note(self, lane: Lane, limit: RateLimit, now: float) -> None:
        """Count a call of a lane."""
        self._demand(lane, limit, now).count += 1

    def claim(self, lane: Lane, limit: RateLimit, now: float, wait: float) -> None:
        """Let the lanes below wait until a caller of this lane could go."""
        # Nobody starves: who got nothing for a window goes before everybody, for one call.
        key = _FIRST if self._is_starved(lane, limit, now) else str(int(lane))
        self.claims[key] = now + wait + _CLAIM_S

    def _is_starved(self, lane: Lane, limit: RateLimit, now: float) -> bool:
        mine = self._demand(lane, limit, now)
        return not mine.count and not mine.before

    def _demand(self, lane: Lane, limit: RateLimit, now: float) -> Demand:
        found = self.demand.setdefault(str(int(lane)), Demand())
        found.turn(int(now // limit.per_s))
        return found


class AccountState(msgspec.Struct):
    """Everything that the workers of one account share."""

    windows: dict[str, LimitState] = {}
    sizes: dict[str, int] = {}
    """What the platform's headers said a limit is."""
    held: dict[str, dict[str, float]] = {}
    """Concurrency limit -> ticket -> when it is over even if nobody gives it back."""
    tickets: int = 0
    paused_until: float = 0.0
    paused_at: float = 0.0
    pauses: int = 0

    def window(self, limit: RateLimit) -> LimitState:
        """Return the window of a limit."""
        return self.windows.setdefault(limit.name, LimitState())

    def pause(self, now: float, seconds: float | None, limits: Sequence[RateLimit]) -> None:
        """
        Let nothing leave that counts against *limits*, or nothing at all where there are none.

        Without advice the pause grows with every refusal that follows closely on the last one.
        """
        paused: list[Pausable] = [self.window(limit) for limit in limits]
        if not limits:
            paused = [self]
        if seconds is None:
            latest = max(one.paused_until for one in paused)
            follows = latest <= now <= latest + _LONGEST_PAUSE_S
            self.pauses = self.pauses + 1 if follows else 0
            seconds = min(_FIRST_PAUSE_S * 2.0 ** min(self.pauses, 16), _LONGEST_PAUSE_S)
        for one in paused:
            if seconds > pause_left(one, now):
                one.paused_at, one.paused_until = now, now + seconds

    def take(self, lane: Lane, limits: Sequence[tuple[RateLimit, int]], now: float) -> float:
        """Take one call from every limit, or from none and return how long to wait."""
        wait = pause_left(self, now)
        blocked: list[tuple[RateLimit, float]] = []
        for limit, size in limits:
            window = self.window(limit)
            left = window.left_for_higher(lane, limit, size, now)
            needed = delay(window, max(size - left, 1), limit.per_s, now)
            needed = max(needed, window.pace(lane, limit, size, now))
            if needed > 0:
                blocked.append((limit, needed))
            wait = max(wait, needed, window.claimed_for(lane, limit, now))
        if wait > 0:
            for limit, needed in blocked:
                self.window(limit).claim(lane, limit, now, needed)
            return max(wait, SHORTEST_WAIT_S)
        for limit, size in limits:
            window = self.window(limit)
            take(window, size, limit.per_s, now)
            window.note(lane, limit, now)
        return 0.0

    def hold(self, limits: Mapping[ConcurrencyLimit, int], now: float) -> float:
        """Return how long to wait before a place may be free in every limit; 0: there is one."""
        for limit in limits:
            held = self.held.get(limit.name, {})
            # What ends later than it could have been given was dated by a clock set back.
            self.held[limit.name] = {
                ticket: end for ticket, end in held.items() if now < end <= now + limit.hold_s
            }
        full = any(len(self.held[limit.name]) >= size for limit, size in limits.items())
        return _SLOT_LOOK_S if full else 0.0

    def new_ticket(self, limits: Mapping[ConcurrencyLimit, int], now: float) -> str:
        """Take a place in every limit; empty where there is none to take."""
        if not limits:
            return ""
        self.tickets += 1
        ticket = str(self.tickets)
        for limit in limits:
            self.held[limit.name][ticket] = now + limit.hold_s
        return ticket

    def give_back(self, ticket: str) -> None:
        """Free the places of a ticket."""
        for held in self.held.values():
            held.pop(ticket, None)
