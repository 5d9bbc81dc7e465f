"""A backup of a database in use: of one moment, checked, and good to go on from."""

import asyncio
import json
import sqlite3
import stat
import threading
from contextlib import closing

import pytest
import sqlalchemy as sa

from dovetail import Entity, Event, db, on, send, step
from dovetail.app.backup import back_up, count_rows
from dovetail.errors import ConfigError, EnvironmentInUseError, StoreError
from dovetail.runtime.store.schema import deliveries
from dovetail.testing.app import running_app

pytestmark = pytest.mark.real_time


class Done(Entity):
    key: str = ""


def make(path, rows=2_000):
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE ledger (id INTEGER PRIMARY KEY, body BLOB)")
        made.execute("CREATE TABLE sums (total INTEGER)")
        made.executemany("INSERT INTO ledger (body) VALUES (?)", [(bytes(1000),)] * rows)
        made.execute("INSERT INTO sums VALUES (?)", (rows,))
        made.commit()


def read(path, sql):
    with closing(sqlite3.connect(path)) as found:
        return found.execute(sql).fetchall()


def test_it_is_of_one_moment_while_another_connection_writes_all_the_time(tmp_path):
    source, target = tmp_path / "app.db", tmp_path / "copy.db"
    make(source, rows=8_000)
    ended, steps = threading.Event(), []

    def write():
        with closing(sqlite3.connect(source, timeout=10)) as writer:
            while not ended.is_set():
                with writer:
                    writer.execute("INSERT INTO ledger (body) VALUES (?)", (bytes(1000),))
                    writer.execute("UPDATE sums SET total = total + 1")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = back_up(source, target, progress=lambda left, total: steps.append((left, total)))
    finally:
        ended.set()
        writer.join()

    (total,) = read(target, "SELECT total FROM sums")[0]
    assert read(target, "SELECT count(*) FROM ledger") == [(total,)]
    assert done.rows == {"ledger": total, "sums": 1}
    assert len(steps) >= 8, "in small steps"
    assert [left for left, _ in steps] == sorted((left for left, _ in steps), reverse=True)
    assert read(source, "SELECT total FROM sums")[0][0] > total, "the writer went on meanwhile"


def test_the_copy_is_its_owners_alone_and_leaves_no_other_file(tmp_path):
    make(tmp_path / "app.db")

    back_up(tmp_path / "app.db", tmp_path / "copy.db")

    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    names = {path.name for path in tmp_path.iterdir()}
    assert {name for name in names if not name.startswith("app.db")} == {"copy.db"}


def test_what_is_there_is_only_replaced_when_asked_to(tmp_path):
    make(tmp_path / "app.db")
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(ConfigError, match="--force"):
        back_up(tmp_path / "app.db", target)
    assert target.read_text() == "precious"
    back_up(tmp_path / "app.db", target, force=True)
    assert read(target, "SELECT total FROM sums") == [(2_000,)]


def test_a_damaged_database_leaves_the_last_backup_alone(tmp_path):
    source, target = tmp_path / "app.db", tmp_path / "copy.db"
    make(source)
    back_up(source, target)
    before = target.read_bytes()
    size = source.stat().st_size
    with source.open("r+b") as handle:
        handle.seek(size // 2)
        handle.write(b"\xff" * 8192)

    with pytest.raises(StoreError, match=r"doctor --deep"):
        back_up(source, target, force=True)
    assert target.read_bytes() == before
    assert not list(tmp_path.glob("*.part*"))


def test_places_that_cannot_be_are_refused(tmp_path):
    make(tmp_path / "app.db")

    with pytest.raises(ConfigError, match="no database"):
        back_up(tmp_path / "none.db", tmp_path / "copy.db")
    with pytest.raises(ConfigError, match="the database itself"):
        back_up(tmp_path / "app.db", tmp_path / "app.db", force=True)
    with pytest.raises(EnvironmentInUseError, match="cannot be written"):
        back_up(tmp_path / "app.db", tmp_path / "no" / "copy.db")


async def test_a_restored_backup_goes_on_where_it_was(tmp_path):
    charged = []

    async def charge(key: str) -> str:
        charged.append(key)
        return key

    reached, gate = asyncio.Event(), asyncio.Event()

    @on("thing.happened")
    async def handle(event: Event) -> None:
        await step("charge", charge, event.key)
        if event.key == "open":
            reached.set()
            await gate.wait()
        await db.create(Done, key=event.key)

    path, copy = tmp_path / "app.db", tmp_path / "copy.db"
    async with running_app(handle, database=path, schedules=False) as app:
        async with app.session():
            await send("thing.happened", {}, key="done")
        await app.runtime.wait_idle()
        async with app.session():
            await send("thing.happened", {}, key="open")
        await reached.wait()
        await asyncio.to_thread(back_up, path, copy)
        async with app.session():
            await send("thing.happened", {}, key="lost")
        gate.set()
        await app.runtime.wait_idle()

    # As docs/howto/operate.md says.
    for name in ("app.db", "app.db-wal", "app.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    copy.replace(path)
    async with running_app(handle, database=path, schedules=False) as app:
        await app.runtime.wait_idle()
        async with app.session():
            found = {one.key for one in await db.query(Done)}
        statuses = await app.store.read(
            lambda tx: [row.status for row in tx.rows(sa.select(deliveries.c.status))]
        )

    assert found == {"done", "open"}, "what came after the backup is not there"
    assert charged == ["done", "open", "lost"], "recorded steps are not run again"
    assert statuses == [1, 1]


def test_the_command_backs_up_under_a_running_process_and_says_what_is_in_it(dovetail, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from dovetail import Entity, db, every\n\n"
        "class Tick(Entity):\n    pass\n\n"
        "@every('1 second')\nasync def tick() -> None:\n    await db.create(Tick)\n"
    )
    dovetail.start("run", program, "--port", 0)

    told = dovetail.json("backup", "copy.db", "--with-key")

    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert count_rows(copy) == told["rows"]
    assert (tmp_path / "copy.db.key").read_bytes() == (tmp_path / "dovetail.db.key").read_bytes()
    assert stat.S_IMODE((tmp_path / "copy.db.key").stat().st_mode) == 0o600
    refused = dovetail.run("backup", "copy.db", "--json", code=2)
    assert json.loads(refused.stdout)["error"]["code"] == "config"
    dovetail.run("backup", "copy.db", "--force")
    deep = dovetail.json("doctor", "--deep", "--port", 0, "--database", "copy.db")
    assert {one["name"]: one["status"] for one in deep["findings"]}["database"] == "ok"
