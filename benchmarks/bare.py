"""The least that a durable kernel on asyncio and SQLite can be: a queue, a thread, one commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dovetail.runtime.store.schema import deliveries, events, metadata, steps

COLUMNS = {
    "event": (
        events,
        "seq id type key business_id source payload occurred_at raw raw_type caused_by",
    ),
    "delivery": (deliveries, "id event_seq handler business_id status attempt due_at"),
    "step": (
        steps,
        "delivery_id kind name key repeat position input_hash result started_at recorded_at undo",
    ),
}
SQL = {
    name: f"INSERT INTO {table.name} ({', '.join(columns.split())}) "
    f"VALUES ({', '.join('?' * len(columns.split()))})"
    for name, (table, columns) in COLUMNS.items()
}
SQL["done"] = "UPDATE deliveries SET status = 1, finished_at = ? WHERE id = ?"

Write = tuple[str, tuple[Any, ...]]


def connect(path: Path) -> sqlite3.Connection:
    """Make our tables and open them as our store does."""
    engine = sa.create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


class BareGroup:
    """Writes that arrive while the disk is busy share the next commit."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._executor = ThreadPoolExecutor(1)
        self._waiting: list[tuple[Sequence[Write], asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.commits = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._loop())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._executor.shutdown()
        self._connection.close()

    async def write(self, writes: Sequence[Write]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((writes, future))
        self._wake.set()
        await future

    async def _loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            if not self._waiting:
                await self._wake.wait()
            taken, self._waiting = self._waiting, []
            try:
                await loop.run_in_executor(self._executor, self._commit, taken)
            except sqlite3.Error as error:
                for _, future in taken:
                    future.set_exception(error)
                continue
            self.commits += 1
            for _, future in taken:
                future.set_result(None)

    def _commit(self, taken: list[tuple[Sequence[Write], asyncio.Future[None]]]) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for writes, _ in taken:
            for name, row in writes:
                rows.setdefault(name, []).append(row)
        self._connection.execute("BEGIN IMMEDIATE")
        for name, found in rows.items():
            self._connection.executemany(SQL[name], found)
        self._connection.execute("COMMIT")
