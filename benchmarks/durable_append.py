"""How many events a second are durable in the log, and how far that is from what SQLite can do."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from benchmarks.figure import Figure
from dovetail.core.ports import Ports
from dovetail.core.transport import HttpRequest, HttpResponse
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import events, metadata
from dovetail.runtime.store.sqlite import SqliteStore

WRITERS = 512
PAYLOAD = b'{"id":"0197","email":"ada@example.com","first_name":"Ada","phone":"+44 20 7946 0000"}'
SQL = """
INSERT INTO events (seq, id, type, key, business_id, source, payload, occurred_at)
VALUES (?, ?, 'contact.updated', ?, 'acme', 'bench', ?, 0)
"""


def measure(folder: Path, items: int) -> list[Figure]:
    one_by_one = max(20, items // 100)
    alone = rate(one_by_one, lambda: raw(folder / "alone.db", one_by_one, per_commit=1))
    bulk = rate(items, lambda: raw(folder / "bulk.db", items, per_commit=1000))
    seconds, commits = asyncio.run(grouped(folder / "grouped.db", items))
    return [
        Figure("one event, one commit", alone, "limit", "sqlite3, synchronous=FULL"),
        Figure("1000 events, one commit", bulk, "limit", "sqlite3, synchronous=FULL"),
        Figure(
            "Store.write, one event each",
            items / seconds,
            "ours",
            f"{WRITERS} concurrent writers shared {commits} commits",
        ),
    ]


def rate(items: int, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return items / (time.perf_counter() - started)


def raw(path: Path, items: int, *, per_commit: int) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    for start in range(0, items, per_commit):
        connection.execute("BEGIN IMMEDIATE")
        numbers = range(start, min(start + per_commit, items))
        connection.executemany(SQL, [(n + 1, f"e{n}", f"k{n}", PAYLOAD) for n in numbers])
        connection.execute("COMMIT")
    connection.close()


async def grouped(path: Path, items: int) -> tuple[float, int]:
    store = SqliteStore(path, Ports.system(NoTransport()))
    await store.open()
    await store.migrate(create_tables)
    numbers = iter(range(items))

    async def writer() -> None:
        for number in numbers:
            await store.write(lambda tx, number=number: append(tx, number))

    started = time.perf_counter()
    await asyncio.gather(*(writer() for _ in range(WRITERS)))
    seconds = time.perf_counter() - started
    commits = store.commits
    await store.close()
    return seconds, commits


def create_tables(connection: sa.Connection) -> None:
    metadata.create_all(connection)


def append(tx: Tx, number: int) -> None:
    row = {
        "seq": number + 1,
        "id": f"e{number}",
        "type": "contact.updated",
        "key": f"k{number}",
        "business_id": "acme",
        "source": "bench",
        "payload": PAYLOAD,
        "occurred_at": 0,
        "raw": None,
        "raw_type": None,
        "caused_by": None,
    }
    tx.run(INSERT, row)


INSERT = sa.insert(events)


class NoTransport:
    """Nothing here leaves the machine."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        raise AssertionError(f"a request to {request.url}")

    async def close(self) -> None:
        return None
