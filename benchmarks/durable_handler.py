"""A keyed handler with one recorded step, beside a bare loop that makes the same writes."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

from benchmarks.figure import Figure
from dovetail import Event, on, step
from dovetail.app.app import App
from dovetail.app.load import program_of
from dovetail.core.log import configure_logging
from dovetail.core.settings import Settings
from dovetail.runtime.log import EventDraft
from dovetail.testing.app import make_module

SENDERS, PER_COMMIT = 8, 50
PAYLOAD = b'{"n":12345}'


async def effect(number: int) -> int:
    return number + 1


@on("thing.happened")
async def handle(event: Event) -> None:
    await step("effect", effect, event.payload["n"])


def measure(folder: Path, items: int) -> list[Figure]:
    configure_logging("warning")
    items = max(items // 4, 100)
    bare = bare_loop(folder / "bare.db", items)
    ours, cpu_ms = asyncio.run(durable(folder / "ours.db", items))
    return [
        Figure("bare sqlite3, the same rows and commits", bare, "limit", "synchronous=FULL"),
        Figure("send, run, step, done", ours, "ours", f"{cpu_ms:.3f} ms of processor each"),
    ]


def bare_loop(path: Path, items: int) -> float:
    """Insert the event, the delivery and the step, and mark the delivery done; commits as ours."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE e (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, payload BLOB)")
    db.execute("CREATE TABLE d (id INTEGER PRIMARY KEY, seq INT, status INT)")
    db.execute("CREATE INDEX open ON d (id) WHERE status = 0")
    db.execute("CREATE TABLE s (id INT, name TEXT, result BLOB, PRIMARY KEY (id, name))")
    started = time.perf_counter()
    for first in range(1, items + 1, PER_COMMIT):
        numbers = range(first, min(first + PER_COMMIT, items + 1))
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO e VALUES (?, ?, ?)", [(n, f"e{n}", PAYLOAD) for n in numbers])
        db.executemany("INSERT INTO d VALUES (?, ?, 0)", [(n, n) for n in numbers])
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO s VALUES (?, 'effect', ?)", [(n, b"1") for n in numbers])
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        db.executemany("UPDATE d SET status = 1 WHERE id = ?", [(n,) for n in numbers])
        db.execute("COMMIT")
    seconds = time.perf_counter() - started
    db.close()
    return items / seconds


async def durable(path: Path, items: int) -> tuple[float, float]:
    app = App(program_of(make_module(handle)), settings=Settings(database=path))
    await app.start(serve=False, schedules=False)
    log = app.runtime.log
    wall, cpu = time.perf_counter(), time.process_time()

    async def sender(first: int) -> None:
        for start in range(first, items, SENDERS * PER_COMMIT):
            drafts = [
                EventDraft(
                    type="thing.happened",
                    key=str(number),
                    payload={"n": number},
                    business_id="default",
                    source="bench",
                )
                for number in range(start, min(start + PER_COMMIT, items))
            ]
            await app.store.write(lambda tx, drafts=drafts: log.append(tx, drafts))

    await asyncio.gather(*(sender(number * PER_COMMIT) for number in range(SENDERS)))
    await app.runtime.wait_idle()
    rate = items / (time.perf_counter() - wall)
    cpu_ms = 1000 * (time.process_time() - cpu) / items
    await app.stop()
    return rate, cpu_ms
