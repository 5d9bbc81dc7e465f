"""
The budget of an account: kept in a store, shared by every worker, asked before every call.

Several limits at once (per second, per ten seconds, per day, calls on their way) are those that a
connector declares; `quota` has the arithmetic of an account, `window` that of one limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol, TypeVar

import msgspec

from dovetail.connector_sdk.lane import Lane, current_lane
from dovetail.connector_sdk.quota import AccountState
from dovetail.connector_sdk.spec import ConcurrencyLimit, RateLimit
from dovetail.connector_sdk.window import correct, forget, pause_left
from dovetail.core import json
from dovetail.core.clock import Clock
from dovetail.errors import RateLimitedError

T = TypeVar("T")

# Longer than any short window's wait; beyond it the caller gives its place to others.
_LONGEST_WAIT_S = 60.0


class Budget(Protocol):
    """The quota of one account, asked before every call and told what the platform answered."""

    async def acquire(self, path: str) -> str:
        """Wait until a call of *path* may leave, and count it; return its ticket, if it has one."""
        ...

    async def release(self, ticket: str) -> None:
        """Note that the call of a ticket came to its end."""
        ...

    async def observe(self, path: str, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer how much is left."""
        ...

    async def pause(
        self, seconds: float | None, *, path: str = "*", limit: str | None = None
    ) -> None:
        """
        Let no call leave that the platform would refuse.

        Args:
            seconds: For how long; None: it did not say.
            path: Of the call that was refused.
            limit: The name of the limit that was reached, where that is known.
        """
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


class StoredBudget:
    """
    A budget in a store: calls leave when every limit that matches their path has room.

    Calls of one lane that wait for the same limits leave in the order in which they came.

    Args:
        store: Where the state lives.
        account: Key of the state: one per platform and account.
        limits: What the connector declares.
        clock: Waits, and dates the calls.
        concurrency: What the connector declares of calls at the same time.
        settings: Of the connection; a limit's `setting` names the one that overrides it.
        remaining_header: Reads limit name -> calls left from an answer's headers.
        size_header: Reads limit name -> calls in all.
    """

    def __init__(
        self,
        *,
        store: BudgetStore,
        account: str,
        limits: Sequence[RateLimit],
        clock: Clock,
        concurrency: Sequence[ConcurrencyLimit] = (),
        settings: Mapping[str, Any] = {},
        remaining_header: Callable[[Mapping[str, str]], Mapping[str, int]] | None = None,
        size_header: Callable[[Mapping[str, str]], Mapping[str, int]] | None = None,
    ) -> None:
        self._store = store
        self._account = account
        self._limits = tuple(limits)
        self._concurrency = tuple(concurrency)
        self._settings = settings
        self._clock = clock
        self._remaining_header = remaining_header
        self._size_header = size_header
        self._queues: dict[tuple[Lane, tuple[str, ...]], asyncio.Lock] = {}
        self._known: dict[str, _Known] = {}

    async def acquire(self, path: str) -> str:
        """
        Wait until every limit of *path* has room, and take one call from each.

        Raises:
            RateLimitedError: That takes longer than a caller should hold its place (a day's quota
                is used up); come back after `retry_after_s`.
        """
        limits = [limit for limit in self._limits if fnmatchcase(path, limit.path)]
        places = [limit for limit in self._concurrency if fnmatchcase(path, limit.path)]
        lane = current_lane()
        # One queue per lane and set of limits: a search that waits for its slow limit must not
        # hold up calls that the limit does not concern, nor a first sync what a person did.
        names = (*(limit.name for limit in limits), *(place.name for place in places))
        queue = self._queues.setdefault((lane, names), asyncio.Lock())
        async with queue:
            while True:
                wait, ticket = await self._update(
                    lambda state: self._take(state, lane, limits, places)
                )
                if wait <= 0:
                    return ticket
                if wait > _LONGEST_WAIT_S:
                    raise RateLimitedError(
                        f"The quota of {self._account} is used up for {wait:,.0f} s. The work "
                        "waits and goes on by itself.",
                        retry_after_s=wait,
                    )
                await self._clock.sleep(wait)

    async def release(self, ticket: str) -> None:
        """Free the places that a call took."""
        if ticket:
            await self._update(lambda state: state.give_back(ticket))

    async def observe(self, path: str, status: int, headers: Mapping[str, str]) -> None:
        """Take over what the platform's headers say is left, and how large its limits are."""
        del path, status
        left = self._remaining_header(headers) if self._remaining_header else {}
        sizes = self._size_header(headers) if self._size_header else {}
        news = [limit for limit in self._limits if self._is_news(limit, left, sizes)]
        if news:
            await self._update(lambda state: self._correct(state, news, left, sizes))

    async def pause(
        self, seconds: float | None, *, path: str = "*", limit: str | None = None
    ) -> None:
        """
        Let no call leave before then that counts against the limit; a longer pause stays.

        Of a call with limits of its own (searches), those are paused and the rest goes on.
        """
        paused = [one for one in self._limits if one.name == limit]
        if not paused:
            own = (one for one in self._limits if one.path != "*")
            paused = [one for one in own if fnmatchcase(path, one.path)]
        await self._update(lambda state: state.pause(self._now(), seconds, paused))

    def _take(
        self,
        state: AccountState,
        lane: Lane,
        limits: Sequence[RateLimit],
        places: Sequence[ConcurrencyLimit],
    ) -> tuple[float, str]:
        now = self._now()
        held = {limit: _size(limit, self._settings, state) for limit in places}
        wait = state.hold(held, now)
        if wait > 0:
            return wait, ""
        sized = [(limit, _size(limit, self._settings, state)) for limit in limits]
        wait = state.take(lane, sized, now)
        if wait > 0:
            return wait, ""
        for limit, size in sized:
            self._know(state, limit, size)
        return 0.0, state.new_ticket(held, now)

    def _is_news(self, limit: RateLimit, left: Mapping[str, int], sizes: Mapping[str, int]) -> bool:
        """Tell whether the state must change: an answer a call would be a write a call."""
        known = self._known.get(limit.name)
        told = sizes.get(limit.name)
        if told is not None and told > 0 and (known is None or told != known.told_size):
            return True
        remaining = left.get(limit.name)
        if remaining is None:
            return False
        if known is None:
            return remaining < limit.limit
        return remaining < known.left or (known.others > 0 and remaining > known.left)

    def _correct(
        self,
        state: AccountState,
        news: Sequence[RateLimit],
        left: Mapping[str, int],
        sizes: Mapping[str, int],
    ) -> None:
        now = self._now()
        for limit in news:
            told = sizes.get(limit.name)
            if told is not None and told > 0:
                state.sizes[limit.name] = told
            size = _size(limit, self._settings, state)
            remaining = left.get(limit.name)
            if remaining is not None:
                # Counted from the platform's own size: a smaller setting leaves less of it.
                correct(state.window(limit), remaining, told or size, limit.per_s, now)
            self._know(state, limit, size)

    def _know(self, state: AccountState, limit: RateLimit, size: int) -> None:
        window, told = state.window(limit), state.sizes.get(limit.name)
        used = window.used()
        self._known[limit.name] = _Known((told or size) - used, window.used_by_others(), told)

    async def _update(self, change: Callable[[AccountState], T]) -> T:
        def on_plain(plain: dict[str, Any] | None) -> tuple[dict[str, Any], T]:
            state = msgspec.convert(plain or {}, AccountState)
            result = change(state)
            return msgspec.to_builtins(state), result

        return await self._store.update(self._account, on_plain)

    def _now(self) -> float:
        return self._clock.now().timestamp()


class _Known(msgspec.Struct, frozen=True):
    """What this worker last saw of a limit: enough to tell whether an answer is news."""

    left: int
    others: int
    told_size: int | None


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
    state = msgspec.convert(plain, AccountState)
    paused_s = max(pause_left(state, now), 0.0)
    found: list[Allowance] = []
    for limit in limits:
        window = state.window(limit)
        forget(window, limit.per_s, now)
        size = _size(limit, settings, state)
        paused = max(paused_s, pause_left(window, now))
        found.append(Allowance(limit.name, size, max(size - window.used(), 0), paused))
    return found


def _size(
    limit: RateLimit | ConcurrencyLimit, settings: Mapping[str, Any], state: AccountState
) -> int:
    told = state.sizes.get(limit.name)
    found = settings.get(limit.setting) if limit.setting else None
    if found is None:
        return max(told or limit.limit, 1)
    # Whoever set it may share the account with others: the platform can only make it less.
    return max(min(int(found), told or int(found)), 1)
