"""
Group commit: works that arrive while the disk is busy share the next fsync.

    write(work) -> queue -> one task takes all that wait -> one transaction on the executor
                                                         -> after-commit calls, then results
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from dovetail.core.ports import StoreExecutor
from dovetail.core.telemetry import COMMIT_SECONDS, COMMIT_WORKS, Buckets
from dovetail.errors import StoreError
from dovetail.runtime.store.port import Tx

log = structlog.get_logger("dovetail.store")


class Work:
    """One accepted work and the future of its result; `item` is set for batched operations."""

    __slots__ = ("call", "future", "is_item", "item")

    def __init__(
        self,
        call: Callable[..., Any],
        future: asyncio.Future[Any],
        item: Any = None,
        *,
        is_item: bool = False,
    ) -> None:
        self.call = call
        self.future = future
        self.item = item
        self.is_item = is_item


class Outcome:
    """What became of one work: its value or its error, and what to call after the commit."""

    __slots__ = ("error", "value")

    def __init__(self, value: Any = None, error: BaseException | None = None) -> None:
        self.value = value
        self.error = error


class TransactionRunner(Protocol):
    """What an adapter gives the group: one transaction around a function, blocking."""

    def __call__(self, body: Callable[[Tx], Any]) -> tuple[Any, list[Callable[[], None]]]:
        """Commit *body* and return its value and the after-commit calls, or roll back and raise."""
        ...


_IDLE_S = 3.0


class CommitGroup:
    """
    Collects works and commits them together, in order of arrival.

    Args:
        executor: Where transactions run.
        transact: Runs one.
        max_works: In one transaction.
        when_idle: Run on the executor when nothing was written for some seconds.
    """

    def __init__(
        self,
        executor: StoreExecutor,
        transact: TransactionRunner,
        *,
        max_works: int = 2_000,
        when_idle: Callable[[], None] | None = None,
    ) -> None:
        self._executor = executor
        self._transact = transact
        self._max_works = max_works
        self._waiting: list[Work] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._when_idle = when_idle
        self._is_rested = True
        self.commits = 0
        self.works = 0
        self.sizes = Buckets(COMMIT_WORKS)
        """Works per commit."""
        self.seconds = Buckets(COMMIT_SECONDS)
        """Seconds per commit, the wait for the disk included."""
        self.refusals: Counter[str] = Counter()
        """Why the database refused -> commits that it refused so."""
        self.refusal: str | None = None
        """Why it refused the last commit, if it did."""

    def start(self) -> None:
        """Begin committing."""
        self._task = asyncio.create_task(self._loop(), name="store-writer")

    @property
    def is_alive(self) -> bool:
        """Whether works are being committed."""
        return self._task is not None and not self._task.done()

    async def close(self) -> None:
        """Commit what was accepted, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    def submit(
        self, call: Callable[..., Any], item: Any = None, *, is_item: bool = False
    ) -> asyncio.Future[Any]:
        """Queue a work; return the future of its durable result."""
        if self._closing or self._task is None:
            raise StoreError("The store is closed; nothing was written.")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(Work(call, future, item, is_item=is_item))
        self._wake.set()
        return future

    async def _loop(self) -> None:
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._wake.clear()
                await self._rest()
                continue
            works = self._waiting[: self._max_works]
            del self._waiting[: self._max_works]
            await self._commit(works)

    async def _rest(self) -> None:
        """Wait for work; see to what is done when there is none for a while."""
        if self._when_idle is None or self._is_rested:
            await self._wake.wait()
            return
        try:
            async with asyncio.timeout(_IDLE_S):
                await self._wake.wait()
        except TimeoutError:
            self._is_rested = True
            try:
                await self._executor.run(self._when_idle)
            except Exception:
                # Nothing that anybody waits for; the writer must go on.
                log.exception("idle_work_failed")

    async def _commit(self, works: list[Work]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcomes, calls, commits = await self._executor.run(lambda: self._commit_blocking(works))
        self._count(works, outcomes, commits, loop.time() - began)
        for call in calls:
            try:
                call()
            except Exception:
                # The commit stands; a listener's fault must not stop the writer for everybody.
                log.exception("after_commit_failed")
        for work, outcome in zip(works, outcomes, strict=True):
            if work.future.done():  # the caller was cancelled; its work is durable all the same
                continue
            if outcome.error is not None:
                work.future.set_exception(outcome.error)
            else:
                work.future.set_result(outcome.value)

    def _count(
        self, works: list[Work], outcomes: list[Outcome], commits: int, seconds: float
    ) -> None:
        self._is_rested = False
        self.commits += commits
        self.works += len(works)
        for _ in range(commits):
            self.seconds.add(seconds / commits)
            self.sizes.add(len(works) / commits)
        errors = (outcome.error for outcome in outcomes)
        told = [one.facts.get("refusal") for one in errors if isinstance(one, StoreError)]
        refusal = next((str(one) for one in told if one), None)
        if refusal is not None:
            self.refusals[refusal] += 1
        self.refusal = refusal

    def _commit_blocking(
        self, works: list[Work]
    ) -> tuple[list[Outcome], list[Callable[[], None]], int]:
        try:
            values, calls = self._transact(lambda tx: _run_together(tx, works))
            return [Outcome(value) for value in values], calls, 1
        except Exception as error:
            if len(works) == 1:
                return [Outcome(error=error)], [], 0
            if isinstance(error, StoreError) and "refusal" in error.facts:
                # The database itself refused; trying each alone would wait as long again for each.
                return [Outcome(error=error) for _ in works], [], 0
        # Halving finds the one that fails among a thousand in ten commits or so, not a thousand.
        middle = len(works) // 2
        left, left_calls, left_commits = self._commit_blocking(works[:middle])
        right, right_calls, right_commits = self._commit_blocking(works[middle:])
        return left + right, left_calls + right_calls, left_commits + right_commits


def _run_together(tx: Tx, works: list[Work]) -> list[Any]:
    values: list[Any] = [None] * len(works)
    index = 0
    while index < len(works):
        work = works[index]
        if not work.is_item:
            values[index] = work.call(tx)
            index += 1
            continue
        # Between two works that stand alone, the items of each operation go together: what ends
        # and what is recorded alternate, and a list of one costs as much as a list of fifty.
        lists: dict[Callable[..., Any], list[int]] = {}
        while index < len(works) and works[index].is_item:
            lists.setdefault(works[index].call, []).append(index)
            index += 1
        for call, places in lists.items():
            found = call(tx, [works[place].item for place in places])
            for place, value in zip(places, found, strict=True):
                values[place] = value
    return values
