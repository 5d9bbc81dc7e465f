"""Ending a real process: what runs may finish, the rest is handed back, twice means at once."""

import signal
import sqlite3
import time
from contextlib import closing

PROGRAM = """
import asyncio
from dovetail import Entity, Event, db, every, on, send

class Began(Entity):
    pass

class Ended(Entity):
    pass

@every("1 second")
async def begin() -> None:
    if await db.count(Began) == 0:
        await db.create(Began)
        await send("thing.happened", {}, key="one")

@on("thing.happened")
async def handle(event: Event) -> None:
    open("running", "a").write("x")
    await asyncio.sleep(TAKES)
    await db.create(Ended)
"""


def ended(folder):
    with closing(sqlite3.connect(folder / "dovetail.db")) as database:
        sql = "SELECT count(*) FROM records WHERE entity = 'ended'"
        (count,) = database.execute(sql).fetchone()
        opened = database.execute(
            "SELECT count(*) FROM deliveries WHERE status = 0 AND handler LIKE '%handle'"
        ).fetchone()
    return count, opened[0]


def begin(dovetail, wait_until, takes, shutdown_s):
    (dovetail.folder / "program.py").write_text(PROGRAM.replace("TAKES", str(takes)))
    process, _ = dovetail.start(
        "run", "program.py", "--port", 0, env={"DOVETAIL_SHUTDOWN_S": str(shutdown_s)}
    )
    wait_until((dovetail.folder / "running").exists)
    return process


def end(process, *signals, within):
    began = time.monotonic()
    for number in signals:
        process.send_signal(number)
        time.sleep(0.3)
    process.communicate(timeout=30)
    assert time.monotonic() - began < within
    return process.returncode


def test_a_run_that_can_finish_within_the_deadline_does(dovetail, wait_until, tmp_path):
    process = begin(dovetail, wait_until, takes=2, shutdown_s=20)

    assert end(process, signal.SIGTERM, within=18) == 0
    assert ended(tmp_path) == (1, 0)


def test_a_run_that_cannot_is_handed_back_and_runs_again(dovetail, wait_until, tmp_path):
    process = begin(dovetail, wait_until, takes=300, shutdown_s=0.5)

    assert end(process, signal.SIGTERM, within=15) == 0
    assert ended(tmp_path) == (0, 1)
    (tmp_path / "running").unlink()
    process = begin(dovetail, wait_until, takes=0, shutdown_s=5)
    wait_until(lambda: ended(tmp_path) == (1, 0))


def test_a_second_signal_ends_at_once_and_loses_nothing(dovetail, wait_until, tmp_path):
    process = begin(dovetail, wait_until, takes=300, shutdown_s=60)

    assert end(process, signal.SIGINT, signal.SIGTERM, within=10) == 130
    assert ended(tmp_path) == (0, 1)
