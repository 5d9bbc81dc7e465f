"""
How much of an account's quota eight workers on one database use, and whether they are refused.

The platform counts calls as they arrive, in a window that slides, after a journey of 20 to 110 ms.
Time is virtual, the database is real: each worker has a store of its own on one file. A row that
was refused even once counts as nothing used.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from pathlib import Path

from benchmarks.row import Row
from dovetail.app.budget_store import StoreBudgets
from dovetail.connector_sdk.lane import Lane, lane
from dovetail.connector_sdk.limits import StoredBudget
from dovetail.connector_sdk.spec import RateLimit
from dovetail.core.clock import LoopClock
from dovetail.runtime.store.schema import metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports
from dovetail.testing.loop import run

LIMIT = RateLimit("burst", 100, per_s=10)
WORKERS, CALLERS = 8, 6
WARM_S = 20
MIXES = {
    "one lane": [Lane.LIVE],
    "first syncs": [Lane.BACKFILL],
    "all lanes": [Lane.LIVE, Lane.USER, Lane.RECONCILE, Lane.BACKFILL],
}


def measure(folder: Path, items: int) -> list[Row]:
    seconds = WARM_S + max(10 + min(items // 20, 10), min(items // 20, 300))
    rows = []
    for number, (name, lanes) in enumerate(MIXES.items()):
        path = folder / f"quota{number}.db"
        began = time.perf_counter()
        used, refused = run(loaded(path, lanes, seconds))
        took = time.perf_counter() - began
        calls = used * (seconds - WARM_S)
        rows.append(
            Row(
                f"quota used by {WORKERS} workers, {name}",
                0.0 if refused else used,
                "calls/s",
                "the platform's limit",
                LIMIT.limit / LIMIT.per_s,
                at_least=0.95,
                note=f"{refused} refused; {1000 * took / max(calls, 1):.2f} ms of work a call",
            )
        )
    return rows


class Platform:
    """Counts what arrives, and what it would have refused."""

    def __init__(self) -> None:
        self.window: deque[float] = deque()
        self.rng = random.Random(1)
        self.refused = 0
        self.taken: list[float] = []

    async def call(self, begun: float) -> None:
        await asyncio.sleep(self.rng.uniform(0.02, 0.11))
        now = asyncio.get_running_loop().time()
        while self.window and self.window[0] <= now - LIMIT.per_s:
            self.window.popleft()
        self.refused += len(self.window) >= LIMIT.limit
        self.window.append(now)
        if now >= begun + WARM_S:
            self.taken.append(now)
        await asyncio.sleep(self.rng.uniform(0.02, 0.11))


async def loaded(path: Path, lanes: list[Lane], seconds: float) -> tuple[float, int]:
    clock, platform = LoopClock(), Platform()
    stores = [SqliteStore(path, seeded_ports(number)) for number in range(WORKERS)]
    for store in stores:
        await store.open()
    await stores[0].migrate(metadata.create_all)
    begun = asyncio.get_running_loop().time()

    async def caller(budget: StoredBudget, wanted: Lane) -> None:
        with lane(wanted):
            while True:
                await budget.acquire("/a")
                if asyncio.get_running_loop().time() >= begun + seconds:
                    return
                await platform.call(begun)

    await asyncio.gather(
        *(
            caller(budget, lanes[number % len(lanes)])
            for number, budget in enumerate(
                StoredBudget(
                    store=StoreBudgets(store), account="acme:1", limits=[LIMIT], clock=clock
                )
                for store in stores
            )
            for _ in range(CALLERS)
        )
    )
    for store in stores:
        await store.close()
    return rate(platform.taken), platform.refused


def rate(times: list[float]) -> float:
    """Whole windows' worth of calls over the time they took, whatever their rhythm is."""
    whole = (len(times) - 1) // LIMIT.limit * LIMIT.limit
    return whole / (times[whole] - times[0]) if whole else 0.0
