"""What is peculiar to SQLite: locks of other processes, files, folders and settings."""

import asyncio
import os
import random
import sqlite3
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dovetail.core.clock import SystemClock
from dovetail.core.ids import SystemIds
from dovetail.core.ports import Ports
from dovetail.errors import EnvironmentInUseError, StoreError
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import metadata, schedules
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.store_contract import fail, names, put

pytestmark = pytest.mark.real_time


def make_store(path: Path, *, busy_s: float = 0.2) -> SqliteStore:
    clock = SystemClock()
    ports = Ports(
        clock=clock, ids=SystemIds(clock), rng=random.Random(1), transport=AsgiTransport()
    )
    return SqliteStore(path, ports, busy_s=busy_s)


@asynccontextmanager
async def opened(path: Path, *, busy_s: float = 0.2):
    store = make_store(path, busy_s=busy_s)
    await store.open()
    try:
        await store.migrate(metadata.create_all)
        yield store
    finally:
        await store.close()


def lock(path: Path) -> sqlite3.Connection:
    """Hold the database as another process would."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


async def test_a_locked_database_refuses_and_loses_nothing(tmp_path):
    path = tmp_path / "dovetail.db"
    async with opened(path) as store:
        await store.write(put("before"))
        other = lock(path)
        try:
            results = await asyncio.gather(
                store.write(put("a")), store.write(put("b")), return_exceptions=True
            )
            assert await store.read(names) == ["before"], "reading goes on"
        finally:
            other.execute("ROLLBACK")
            other.close()
        for result in results:
            assert isinstance(result, StoreError)
            assert result.facts["refusal"] == "locked"
            assert "Another process holds it" in result.message

        await store.write(put("after"))

        assert await store.read(names) == ["after", "before"]


async def test_a_short_lock_is_waited_for(tmp_path):
    path = tmp_path / "dovetail.db"
    async with opened(path, busy_s=10) as store:
        other = lock(path)
        writing = asyncio.create_task(store.write(put("a")))
        done, _ = await asyncio.wait({writing}, timeout=0.05)
        assert not done
        other.execute("ROLLBACK")
        other.close()

        assert await writing == "a"


async def test_a_locked_database_refuses_a_migration(tmp_path):
    path = tmp_path / "dovetail.db"
    async with opened(path) as store:
        other = lock(path)
        try:
            with pytest.raises(StoreError, match="locked"):
                await store.migrate(metadata.create_all)
        finally:
            other.close()


async def test_a_migration_that_fails_changes_nothing(tmp_path):
    def upgrade(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE half (id)")
        raise LookupError

    async with opened(tmp_path / "dovetail.db") as store:
        with pytest.raises(LookupError):
            await store.migrate(upgrade)
        with pytest.raises(StoreError, match="no such table: half"):
            await store.read(lambda tx: tx.rows(sa.text("SELECT * FROM half")))


async def test_commits_survive_a_power_cut_and_readers_do_not_wait(tmp_path):
    async with opened(tmp_path / "dovetail.db") as store:

        def pragmas(tx: Tx) -> list[Any]:
            return [
                tx.scalar(sa.text(f"PRAGMA {name}"))
                for name in ("synchronous", "journal_mode", "foreign_keys")
            ]

        assert await store.write(pragmas) == [2, "wal", 1]
        assert await store.read(pragmas) == [2, "wal", 1]


async def test_a_full_database_says_so(tmp_path):
    async with opened(tmp_path / "dovetail.db") as store:

        def fill(tx: Tx) -> None:
            tx.scalar(sa.text("PRAGMA max_page_count = 1"))
            put("x" * 1_000_000)(tx)

        with pytest.raises(StoreError, match="disk is full") as caught:
            await store.write(fill)
        assert caught.value.facts["refusal"] == "full"
        assert await store.read(names) == []


async def test_a_read_sees_one_state(tmp_path):
    path = tmp_path / "dovetail.db"
    async with opened(path) as store:

        def reading(tx: Tx) -> tuple[list[str], list[str]]:
            first = names(tx)
            with sqlite3.connect(path) as other:
                other.execute("INSERT INTO schedules VALUES ('late', 0)")
            other.close()
            return first, names(tx)

        assert await store.read(reading) == ([], [])
        assert await store.read(names) == ["late"]


async def test_works_that_arrive_together_share_a_commit(tmp_path):
    async with opened(tmp_path / "dovetail.db") as store:
        before = store.commits
        await asyncio.gather(*(store.write(put(f"{n:03}")) for n in range(200)))

        assert store.commits - before <= 3


async def test_one_failing_work_among_many_costs_few_commits(tmp_path):
    async with opened(tmp_path / "dovetail.db") as store:
        before = store.commits
        works: list[Any] = [put(f"{n:03}") for n in range(200)]
        works[77] = fail
        results = await asyncio.gather(
            *(store.write(work) for work in works), return_exceptions=True
        )

        assert sum(isinstance(one, LookupError) for one in results) == 1
        assert len(await store.read(names)) == 199
        assert store.commits - before <= 12


@pytest.mark.parametrize("place", ["missing-folder", "folder-that-is-a-file", "the-folder-itself"])
async def test_a_place_that_cannot_be_a_database_is_refused(tmp_path, place):
    (tmp_path / "folder-that-is-a-file").write_text("x")
    path = tmp_path if place == "the-folder-itself" else tmp_path / place / "dovetail.db"
    store = make_store(path)

    with pytest.raises(EnvironmentInUseError, match=r"folder exists.*may write there") as caught:
        await store.open()
    assert str(path) in caught.value.message
    await store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_without_permission_to_write_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    store = make_store(tmp_path / "dovetail.db")
    try:
        with pytest.raises(EnvironmentInUseError, match="may write there"):
            await store.open()
    finally:
        tmp_path.chmod(0o700)
        await store.close()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    text = "these are my notes, not a database" * 100
    path.write_text(text)
    store = make_store(path)

    with pytest.raises(EnvironmentInUseError, match="not a database"):
        await store.open()
    await store.close()
    assert path.read_text() == text


async def test_closing_folds_the_log_back_into_the_file(tmp_path):
    path = tmp_path / "dovetail.db"
    async with opened(path) as store:
        await store.write(put("a"))

    assert [one.name for one in tmp_path.iterdir()] == ["dovetail.db"]
    with sqlite3.connect(path) as other:
        assert other.execute(str(sa.select(schedules.c.name))).fetchall() == [("a",)]
    other.close()
