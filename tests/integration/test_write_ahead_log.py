"""The write-ahead log stays small, readers or not, and its space is given back."""

import asyncio
import random
import sqlite3
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from dovetail.core.clock import SystemClock
from dovetail.core.ids import SystemIds
from dovetail.core.ports import Ports
from dovetail.runtime.store.schema import budgets, metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.runtime.store.wal import LIMIT_BYTES, WriteAheadLog
from dovetail.testing.asgi import AsgiTransport

pytestmark = pytest.mark.real_time

CHUNK = 256 * 1024


@asynccontextmanager
async def opened(path):
    clock = SystemClock()
    ports = Ports(
        clock=clock, ids=SystemIds(clock), rng=random.Random(1), transport=AsgiTransport()
    )
    store = SqliteStore(path, ports, synchronous="OFF")
    await store.open()
    try:
        await store.migrate(metadata.create_all)
        yield store
    finally:
        await store.close()


def put(key):
    return lambda tx: tx.run(sa.insert(budgets).values(key=str(key), state=bytes(CHUNK)))


async def write_bytes(store, size, prefix=""):
    peak = 0
    for number in range(size // CHUNK):
        await store.write(put(f"{prefix}{number}"))
        peak = max(peak, store.wal_bytes)
    return peak


async def test_it_stays_within_its_bound_while_somebody_reads_all_the_time(tmp_path):
    async with opened(tmp_path / "app.db") as store:
        ended = False

        async def read():
            while not ended:
                await store.read(lambda tx: tx.scalar(sa.select(sa.func.sum(budgets.c.state))))

        reader = asyncio.create_task(read())
        peak = await write_bytes(store, 6 * LIMIT_BYTES)
        ended = True
        await reader

    assert peak <= 2 * LIMIT_BYTES


async def test_a_reader_that_stays_makes_it_grow_and_leaves_it_small_again(tmp_path):
    path = tmp_path / "app.db"
    async with opened(path) as store:
        await store.write(put("first"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM budgets").fetchall()

        assert await write_bytes(store, 3 * LIMIT_BYTES, "a") > 2 * LIMIT_BYTES
        assert other.execute("SELECT count(*) FROM budgets").fetchone() == (1,)
        other.execute("ROLLBACK")
        other.close()
        await write_bytes(store, LIMIT_BYTES, "b")

        assert store.wal_bytes <= LIMIT_BYTES + CHUNK


async def test_it_is_emptied_when_nobody_writes(tmp_path):
    async with opened(tmp_path / "app.db") as store:
        await write_bytes(store, 4 * CHUNK)
        assert store.wal_bytes > 0

        for _ in range(100):
            await asyncio.sleep(0.1)
            if not store.wal_bytes:
                break
        assert store.wal_bytes == 0
        await store.write(put("and on"))
        assert await store.read(lambda tx: tx.scalar(sa.select(sa.func.count(budgets.c.key)))) == 5


async def test_a_busy_log_is_asked_again_later_not_with_every_commit(tmp_path):
    path = tmp_path / "app.db"
    asked = []

    class Asked(WriteAheadLog):
        def _checkpoint(self, connection, mode):
            asked.append(self.size)
            return super()._checkpoint(connection, mode)

    async with opened(path) as store:
        store._wal = Asked(str(path), 0.2)
        await store.write(put("first"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM budgets").fetchall()
        await write_bytes(store, 2 * LIMIT_BYTES)
        other.close()

    assert 2 <= len([size for size in asked if size]) <= 6


async def test_free_pages_are_given_back(tmp_path):
    path = tmp_path / "app.db"
    async with opened(path) as store:
        await write_bytes(store, 20 * CHUNK)
        await store.write(lambda tx: tx.run(sa.delete(budgets)))
        left = await store.vacuum(100)
        assert left > 0
        while left:
            before, left = left, await store.vacuum(500)
            assert left < before
    assert path.stat().st_size < 2 * CHUNK
