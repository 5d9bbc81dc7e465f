"""
A backlog of a million events: what a claim costs beside one of ten thousand, and who waits.

The events are inserted in bulk, all of one tenant, before the app starts. What is measured: the
processor time of an event while the backlog is worked off, the memory of the process, and how long
a single event of another tenant waits from its commit to its handler's first line. With
``--items 20000`` the small backlog has 10,000 events and the large one a million.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.memory import memory_mb
from benchmarks.row import FEW_ROUNDS, Row
from dovetail import Event, on
from dovetail.app.app import App
from dovetail.app.load import program_of
from dovetail.core.log import configure_logging
from dovetail.core.settings import Settings
from dovetail.runtime.log import EventDraft
from dovetail.testing.app import make_module

PROBES = 20


@dataclass(slots=True)
class Seen:
    """What the handler counts."""

    backlog: int = 0
    waits: list[float] = field(default_factory=list)


seen = Seen()


@on("thing.happened")
async def handle(event: Event) -> None:
    if event.business_id == "other":
        seen.waits.append(time.perf_counter() - event.payload["sent"])
    else:
        seen.backlog += 1


@dataclass(slots=True)
class Worked:
    """One backlog, worked off for a while."""

    cpu_ms: float
    memory_mb: float
    waits: list[float]


def measure(folder: Path, items: int) -> list[Row]:
    configure_logging("warning")
    small, large = max(items // 2, 200), max(items * 50, 400)
    few = min(small // 2, 5_000)
    fill(folder / "large.db", large)
    big: list[Worked] = []
    little: list[Worked] = []
    for number in range(FEW_ROUNDS):
        fill(folder / f"small{number}.db", small)
        little.append(asyncio.run(work(folder / f"small{number}.db", few)))
        big.append(asyncio.run(work(folder / "large.db", few)))
    costs = [statistics.median(one.cpu_ms for one in found) for found in (big, little)]
    waits = [wait for one in big for wait in one.waits]
    beside = f"a backlog of {small:,}"
    return [
        Row(
            f"an event out of a backlog of {large:,}",
            costs[0],
            "ms",
            beside,
            costs[1],
            ratio_at_most=1.2,
            note=f"processor time, lower is better; medians of {FEW_ROUNDS} rounds",
        ),
        Row(
            "memory of the process meanwhile",
            max(one.memory_mb for one in big),
            "MB",
            beside,
            max(one.memory_mb for one in little),
            at_most=300,
        ),
        Row(
            "another tenant's event waits at most",
            1000 * max(waits),
            "ms",
            f"its median of {len(waits)}",
            1000 * statistics.median(waits),
            at_most=1000,
        ),
    ]


def fill(path: Path, count: int) -> None:
    """Insert *count* events of one tenant and their open deliveries, as a burst leaves them."""
    asyncio.run(_make(path))
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("BEGIN")
    now = time.time_ns() // 1000
    db.executemany(
        "INSERT INTO events (seq, id, type, key, business_id, source, payload, occurred_at) "
        "VALUES (?, ?, 'thing.happened', ?, 'burst', 'bench', ?, ?)",
        _events(count, now),
    )
    db.executemany(
        "INSERT INTO deliveries (id, event_seq, handler, business_id, status, attempt, due_at) "
        "VALUES (?, ?, 'handle', 'burst', 0, 0, ?)",
        ((n, n, now) for n in range(1, count + 1)),
    )
    for name in ("events", "deliveries"):
        db.execute("INSERT OR REPLACE INTO sequences (name, next) VALUES (?, ?)", (name, count + 1))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _events(count: int, now: int) -> Iterator[tuple[object, ...]]:
    for n in range(1, count + 1):
        yield n, f"e{n}", f"k{n}", b'{"n":12345}', now


async def _make(path: Path) -> None:
    async with App(settings=Settings(database=path)):
        pass


async def work(path: Path, few: int) -> Worked:
    """Run until *few* of the backlog are done, with another tenant's events in between."""
    seen.backlog, seen.waits = 0, []
    app = App(program_of(make_module(handle)), settings=Settings(database=path))
    await app.start(serve=False, schedules=False)
    log = app.runtime.log
    while seen.backlog < few // 10:  # noqa: ASYNC110 - warm; the handler is to do nothing else
        await asyncio.sleep(0.001)
    cpu, before = time.process_time(), seen.backlog
    memory = 0.0
    for number in range(PROBES):
        draft = EventDraft(
            type="thing.happened",
            key=str(number),
            payload={"sent": time.perf_counter()},
            business_id="other",
            source="bench",
        )
        await app.store.write(lambda tx, draft=draft: log.append(tx, [draft]))
        memory = max(memory, memory_mb())
        while seen.backlog < few * (number + 1) // PROBES or len(seen.waits) <= number:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    cpu_ms = 1000 * (time.process_time() - cpu) / max(seen.backlog - before + PROBES, 1)
    waits = list(seen.waits)
    await app.stop()
    return Worked(cpu_ms, memory, waits)
