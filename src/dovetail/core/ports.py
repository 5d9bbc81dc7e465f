"""The outside world in one value: time, ids, randomness, HTTP and where store work runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from dovetail.core.clock import Clock, SystemClock
from dovetail.core.ids import Ids, SystemIds
from dovetail.core.transport import Transport

T = TypeVar("T")


class StoreExecutor(Protocol):
    """Where blocking database work runs."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run *work* and return its result; works of one executor never overlap."""
        ...

    def close(self) -> None:
        """Release what the executor holds."""
        ...


class ThreadExecutor:
    """One thread, so that the event loop never waits for the disk."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"dovetail-{name}")

    async def run(self, work: Callable[[], T]) -> T:
        """Run *work* on the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Finish running work and end the thread."""
        self._pool.shutdown(wait=True)


class InlineExecutor:
    """Runs work at once on the event loop: for deterministic tests and simulation."""

    async def run(self, work: Callable[[], T]) -> T:
        """Run *work*, then yield once, as a thread would."""
        result = work()
        await asyncio.sleep(0)
        return result

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Every source of nondeterminism that the product uses."""

    clock: Clock
    ids: Ids
    rng: random.Random
    transport: Transport
    new_executor: Callable[[str], StoreExecutor] = ThreadExecutor

    @classmethod
    def system(cls, transport: Transport) -> Ports:
        """Return the real world."""
        clock = SystemClock()
        return cls(clock=clock, ids=SystemIds(clock), rng=random.Random(), transport=transport)
