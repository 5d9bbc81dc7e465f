"""
Rate limits: a sliding window that is never exceeded, and a budget per account kept in a store.

A window is cut into `_PARTS` equal parts. Any stretch of time as long as the window touches at
most one part more than that, so holding the calls of `_PARTS + 1` neighbouring parts at the limit
holds every such stretch; the price is one part in twenty-one of the quota.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

import msgspec

from dovetail.connector_sdk.spec import RateLimit
from dovetail.core import json
from dovetail.core.clock import Clock
from dovetail.errors import RateLimitedError

T = TypeVar("T")

_PARTS = 20
# Waking a moment late costs nothing; waking early by a rounding error would spin.
_SHORTEST_WAIT_S = 0.001
_PAUSE_WITHOUT_ADVICE_S = 1.0
# Longer than any short window's wait; beyond it the caller gives its place to others.
_LONGEST_WAIT_S = 60.0


class WindowState(msgspec.Struct):
    """The calls of one window by the number of its part, oldest first; plain JSON in a store."""

    parts: list[tuple[int, int]] = []
    paused_until: float = 0.0

    def used(self) -> int:
        """Return the calls that count now, as of the last `take`."""
        return sum(count for _, count in self.parts)


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
        _add(state, per_s, now, n)
    return wait


def delay(state: WindowState, limit: int, per_s: float, now: float, n: int = 1) -> float:
    """Return what `take` would, without taking; old parts of *state* are forgotten."""
    if n > limit:
        raise ValueError(f"{n} calls never fit a limit of {limit}")
    part_s = per_s / _PARTS
    _forget(state, _part(now, per_s))
    wait = state.paused_until - now
    surplus = state.used() + n - limit
    for part, count in state.parts:
        if surplus <= 0:
            break
        surplus -= count
        wait = max(wait, (part + _PARTS + 1) * part_s - now, _SHORTEST_WAIT_S)
    return max(wait, _SHORTEST_WAIT_S) if wait > 0 else 0.0


def correct(state: WindowState, remaining: int, limit: int, per_s: float, now: float) -> None:
    """
    Count calls that others made, from what the platform says remains.

    Only downwards: the platform has not seen those of our calls that are still on their way.
    """
    _forget(state, _part(now, per_s))
    unseen = limit - remaining - state.used()
    if unseen > 0:
        _add(state, per_s, now, unseen)


def _part(now: float, per_s: float) -> int:
    return int(now // (per_s / _PARTS))


def _forget(state: WindowState, current: int) -> None:
    kept = [(part, count) for part, count in state.parts if part >= current - _PARTS]
    # A clock that was set back by more than a window must not stop the account until it has
    # caught up: what it left in the future counts as now.
    state.parts = [(part if part <= current + _PARTS else current, count) for part, count in kept]


def _add(state: WindowState, per_s: float, now: float, n: int) -> None:
    current = _part(now, per_s)
    if state.parts and state.parts[-1][0] >= current:
        part, count = state.parts[-1]
        state.parts[-1] = (part, count + n)
    else:
        state.parts.append((current, n))


class Budget(Protocol):
    """The quota of one account, asked before every call and told what the platform answered."""

    async def acquire(self, path: str) -> None:
        """Wait until a call of *path* may leave, and count it."""
        ...

    async def observe(self, path: str, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer how much is left."""
        ...

    async def pause(self, seconds: float | None) -> None:
        """Let no call leave for so long (None: the platform did not say how long)."""
        ...


class BudgetStore(Protocol):
    """Where the state of budgets lives, shared by everyone who uses the same accounts."""

    async def update(
        self, key: str, change: Callable[[dict[str, Any] | None], tuple[dict[str, Any], T]]
    ) -> T:
        """Replace the state of *key* by what *change* makes of it, in one transaction."""
        ...


class MemoryBudgetStore:
    """States in this process only, as plain JSON like everywhere else."""

    def __init__(self) -> None:
        self._states: dict[str, bytes] = {}

    async def update(
        self, key: str, change: Callable[[dict[str, Any] | None], tuple[dict[str, Any], T]]
    ) -> T:
        """Change one state; nothing can come in between, since nothing is awaited."""
        found = self._states.get(key)
        state, result = change(json.decode(found) if found is not None else None)
        self._states[key] = json.encode(state)
        return result


class _AccountState(msgspec.Struct):
    windows: dict[str, WindowState] = {}
    paused_until: float = 0.0
    paused_at: float = 0.0

    def pause(self, now: float, seconds: float) -> None:
        if seconds > self.pause_left(now):
            self.paused_at, self.paused_until = now, now + seconds

    def pause_left(self, now: float) -> float:
        if now < self.paused_at:
            # The clock was set back: the pause is as long as it was, not until that hour returns.
            self.paused_at, self.paused_until = now, now + self.paused_until - self.paused_at
        return self.paused_until - now

    def window(self, limit: RateLimit) -> WindowState:
        return self.windows.setdefault(limit.name, WindowState())


class StoredBudget:
    """
    A budget in a store: calls leave when every limit that matches their path has room.

    Calls that wait for the same limits leave in the order in which they came.

    Args:
        store: Where the state lives.
        account: Key of the state: one per platform and account.
        limits: What the connector declares.
        clock: Waits, and dates the calls.
        settings: Of the connection; `RateLimit.setting` names the one that overrides a limit.
        remaining_header: Reads limit name -> calls left from an answer's headers.
    """

    def __init__(
        self,
        *,
        store: BudgetStore,
        account: str,
        limits: Sequence[RateLimit],
        clock: Clock,
        settings: Mapping[str, Any] = {},
        remaining_header: Callable[[Mapping[str, str]], Mapping[str, int]] | None = None,
    ) -> None:
        self._store = store
        self._account = account
        self._limits = tuple(limits)
        self._sizes = {limit.name: _size(limit, settings) for limit in limits}
        self._clock = clock
        self._remaining_header = remaining_header
        self._queues: dict[tuple[str, ...], asyncio.Lock] = {}
        self._left: dict[str, int] = {}

    async def acquire(self, path: str) -> None:
        """
        Wait until every limit of *path* has room, and take one call from each.

        Raises:
            RateLimitedError: That takes longer than a caller should hold its place (a day's quota
                is used up); come back after `retry_after_s`.
        """
        limits = [limit for limit in self._limits if fnmatchcase(path, limit.path)]
        # One queue per set of limits: a search that waits for its slow limit must not hold up
        # calls that the limit does not concern.
        queue = self._queues.setdefault(tuple(limit.name for limit in limits), asyncio.Lock())
        async with queue:
            while (wait := await self._update(lambda state: self._take(state, limits))) > 0:
                if wait > _LONGEST_WAIT_S:
                    raise RateLimitedError(
                        f"The quota of {self._account} is used up for {wait:,.0f} s. The work "
                        "waits and goes on by itself.",
                        retry_after_s=wait,
                    )
                await self._clock.sleep(wait)

    async def observe(self, path: str, status: int, headers: Mapping[str, str]) -> None:
        """Count what others used of the same account, where the platform's headers tell."""
        del path, status
        if self._remaining_header is None:
            return
        told = self._remaining_header(headers)
        lower = {
            limit: told[limit.name]
            for limit in self._limits
            if limit.name in told
            and told[limit.name] < self._left.get(limit.name, self._sizes[limit.name])
        }
        if lower:
            await self._update(lambda state: self._correct(state, lower))

    async def pause(self, seconds: float | None) -> None:
        """Let no call of the account leave before then; a longer pause stays."""
        length = _PAUSE_WITHOUT_ADVICE_S if seconds is None else seconds
        await self._update(lambda state: state.pause(self._now(), length))

    def _take(self, state: _AccountState, limits: Sequence[RateLimit]) -> float:
        now = self._now()
        waits = [
            delay(state.window(limit), self._sizes[limit.name], limit.per_s, now)
            for limit in limits
        ]
        wait = max([state.pause_left(now), *waits])
        if wait > 0:
            return max(wait, _SHORTEST_WAIT_S)
        for limit in limits:
            window = state.window(limit)
            take(window, self._sizes[limit.name], limit.per_s, now)
            self._left[limit.name] = self._sizes[limit.name] - window.used()
        return 0.0

    def _correct(self, state: _AccountState, told: Mapping[RateLimit, int]) -> None:
        now = self._now()
        for limit, remaining in told.items():
            size = self._sizes[limit.name]
            correct(state.window(limit), remaining, size, limit.per_s, now)

    async def _update(self, change: Callable[[_AccountState], T]) -> T:
        def on_plain(plain: dict[str, Any] | None) -> tuple[dict[str, Any], T]:
            state = msgspec.convert(plain or {}, _AccountState)
            result = change(state)
            return msgspec.to_builtins(state), result

        return await self._store.update(self._account, on_plain)

    def _now(self) -> float:
        return self._clock.now().timestamp()


class Allowance(msgspec.Struct, frozen=True):
    """One limit as it stands: calls in its window, how many are left, and for how long none may."""

    limit: str
    size: int
    left: int
    paused_s: float


def read_allowances(
    plain: dict[str, Any],
    limits: Sequence[RateLimit],
    settings: Mapping[str, Any],
    now: float,
) -> list[Allowance]:
    """Return what is left of each limit, from the stored state of an account's budget."""
    state = msgspec.convert(plain, _AccountState)
    paused_s = max(state.pause_left(now), 0.0)
    found: list[Allowance] = []
    for limit in limits:
        window = state.window(limit)
        _forget(window, _part(now, limit.per_s))
        size = _size(limit, settings)
        found.append(Allowance(limit.name, size, max(size - window.used(), 0), paused_s))
    return found


def _size(limit: RateLimit, settings: Mapping[str, Any]) -> int:
    found = settings.get(limit.setting) if limit.setting else None
    return max(int(found), 1) if found is not None else limit.limit
