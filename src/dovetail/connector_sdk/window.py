"""
One rate limit: a sliding window that is never exceeded.

A window is cut into `_PARTS` equal parts. Any stretch of time as long as the window touches at
most one part more than that; further parts make up for calls that do not all travel at the same
speed. Holding the calls of so many neighbouring parts at the limit holds every such stretch where
the platform counts. The price is two parts in eighty-two of the quota of ten seconds, and a tenth
of that of one second.
"""

from __future__ import annotations

import heapq
import math
from typing import Protocol

import msgspec

_PARTS = 80
# By how much the ways of two calls to the platform may differ.
_TRAVEL_S = 0.1
# Waking a moment late costs nothing; waking early by a rounding error would spin.
SHORTEST_WAIT_S = 0.001
# A call that left longer ago than this was seen by the platform, or never arrives.
_ON_THE_WAY_S = 30.0

Parts = list[tuple[int, int]]


class WindowState(msgspec.Struct):
    """
    The calls of one window by the number of its part, oldest first; plain JSON in a store.

    `parts` are our own; `others` are those that the platform told of and that we did not make.
    """

    parts: Parts = []
    others: Parts = []
    paused_until: float = 0.0
    paused_at: float = 0.0

    def used(self) -> int:
        """Return the calls that count now, as of the last `take`."""
        return _sum(self.parts) + _sum(self.others)

    def used_by_others(self) -> int:
        """Return how many of those we did not make."""
        return _sum(self.others)


class Pausable(Protocol):
    """What may be paused: a window, or all of an account."""

    paused_until: float
    paused_at: float


def pause_left(state: Pausable, now: float) -> float:
    """Return the seconds to the end of a pause; none or fewer where there is none."""
    if now < state.paused_at:
        # The clock was set back: the pause is as long as it was, not until that hour returns.
        state.paused_at, state.paused_until = now, now + state.paused_until - state.paused_at
    return state.paused_until - now


def take(state: WindowState, limit: int, per_s: float, now: float, n: int = 1) -> float:
    """
    Take *n* calls from the window, or return how many seconds to wait before asking again.

    Args:
        state: Changed in place when the calls were taken (0 is returned).
        limit: Calls in any stretch of *per_s* seconds.
        per_s: Length of the window.
        now: Seconds since 1970, of a clock that every user of the state shares.
        n: Calls to take together, at most *limit*.

    Raises:
        ValueError: *n* can never fit.
    """
    wait = delay(state, limit, per_s, now, n)
    if wait == 0:
        state.parts = _added(state.parts, _part(now, per_s), n)
    return wait


def delay(state: WindowState, limit: int, per_s: float, now: float, n: int = 1) -> float:
    """Return what `take` would, without taking; old parts of *state* are forgotten."""
    if n > limit:
        raise ValueError(f"{n} calls never fit a limit of {limit}")
    forget(state, per_s, now)
    wait, held = pause_left(state, now), _held(per_s)
    surplus = state.used() + n - limit
    for part, count in heapq.merge(state.parts, state.others):
        if surplus <= 0:
            break
        surplus -= count
        wait = max(wait, (part + held) * (per_s / _PARTS) - now, SHORTEST_WAIT_S)
    return max(wait, SHORTEST_WAIT_S) if wait > 0 else 0.0


def correct(state: WindowState, remaining: int, limit: int, per_s: float, now: float) -> None:
    """
    Take over what the platform says remains: count the calls of others, or forget some of them.

    Our own calls stay whatever it says: it may not have seen those that are on their way, and its
    window may have begun later than ours.
    """
    forget(state, per_s, now)
    seen = limit - remaining
    unexplained = seen - state.used()
    if unexplained > 0:
        state.others = _added(state.others, _part(now, per_s), unexplained)
        return
    # Of ours, only those count that the platform's window must hold as well.
    oldest, newest = _part(now, per_s) - _PARTS + 2, _part(now - _ON_THE_WAY_S, per_s)
    surely_ours = sum(count for part, count in state.parts if oldest <= part < newest)
    too_many = state.used_by_others() - max(seen - surely_ours, 0)
    while too_many > 0:
        part, count = state.others.pop(0)
        if count > too_many:
            state.others.insert(0, (part, count - too_many))
        too_many -= count


def forget(state: WindowState, per_s: float, now: float) -> None:
    """Drop the parts that count no more."""
    current, held = _part(now, per_s), _held(per_s)
    state.parts = _kept(state.parts, current, held)
    state.others = _kept(state.others, current, held)


def pace_delay(state: WindowState, most: int, share: int, per_s: float, now: float) -> float:
    """Return how long to wait so that one more keeps *most* of ours in a share of the window."""
    length = _PARTS // share
    current = _part(now, per_s)
    surplus = sum(count for part, count in state.parts if part > current - length) + 1 - most
    wait = 0.0
    for part, count in state.parts:
        if surplus <= 0:
            break
        if part > current - length:
            surplus -= count
            wait = max((part + length) * (per_s / _PARTS) - now, SHORTEST_WAIT_S)
    return wait


def _part(now: float, per_s: float) -> int:
    return int(now // (per_s / _PARTS))


def _held(per_s: float) -> int:
    return _PARTS + 1 + max(1, math.ceil(_TRAVEL_S * _PARTS / per_s))


def _kept(parts: Parts, current: int, held: int) -> Parts:
    # A clock that was set back by more than a window must not stop the account until it has
    # caught up: what it left in the future counts as now.
    return [
        (part if part <= current + _PARTS else current, count)
        for part, count in parts
        if part > current - held
    ]


def _added(parts: Parts, current: int, n: int) -> Parts:
    if parts and parts[-1][0] >= current:
        part, count = parts[-1]
        return [*parts[:-1], (part, count + n)]
    return [*parts, (current, n)]


def _sum(parts: Parts) -> int:
    return sum(count for _, count in parts)
