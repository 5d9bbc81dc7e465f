"""Handlers with writes, steps and cron in a real process that is killed again and again."""

import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter

import pytest

KILLS = 8
ORDERS = 240
RECORDED = {"charged": "charge", "shipped": "ship"}
"""What is written once the result of a step is recorded -> the step."""

PROGRAM = """
import os
from pathlib import Path

from dovetail import Entity, Event, db, every, on, send, step

JOURNAL = Path(__file__).with_name("journal.txt")
LAST = Path(__file__).with_name("last")


class Order(Entity):
    number: int = 0


class Effect(Entity):
    number: int = 0
    by: str = ""


class Tick(Entity):
    event_id: str = ""


def append(line: str) -> str:
    # Appended in one piece, so that a kill leaves the whole line or none.
    handle = os.open(JOURNAL, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, (line + "\\n").encode())
    os.close(handle)
    return line


@every("1 second")
async def feed(event: Event) -> None:
    await db.create(Tick, event_id=event.id)
    first = await db.count(Order)
    for number in range(first, min(first + (60 if LAST.exists() else 8), ORDERS)):
        await db.create(Order, number=number)


@on(Order.created)
async def handle(order: Order) -> None:
    await step("charge", append, f"charge {order.number}")
    append(f"charged {order.number}")
    await step("ship", append, f"ship {order.number}")
    append(f"shipped {order.number}")
    await db.create(Effect, number=order.number, by="handle")
    await send("order.handled", {"number": order.number}, key=str(order.number))


@on("order.handled")
async def close(event: Event) -> None:
    await db.create(Effect, number=event.payload["number"], by="close")
"""


@contextlib.contextmanager
def started(folder):
    """Start a worker and yield it once it says that it runs; it is gone afterwards."""
    with (folder / "worker.log").open("a") as log:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "dovetail", "run", str(folder / "program.py"), "--json",
                "--database", str(folder / "app.db"), "--port", "0",
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
        )  # fmt: skip
    try:
        if not process.stdout.readline():
            raise AssertionError((folder / "worker.log").read_text())
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def rows(folder, query):
    database = sqlite3.connect(folder / "app.db", timeout=10)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def stored(folder, entity):
    found = rows(folder, f"SELECT data FROM records WHERE entity = '{entity}'")  # noqa: S608
    return [json.loads(data) for (data,) in found]


def check_journal(path):
    """Every step ran, and none after its result was recorded."""
    ran, recorded = set(), set()
    for line in path.read_text().splitlines():
        what, number = line.split()
        if what in RECORDED:
            recorded.add((RECORDED[what], number))
        else:
            assert (what, number) not in recorded, f"{line} ran again after it was recorded"
            ran.add((what, number))
    assert ran == recorded
    assert len(ran) == 2 * ORDERS


@pytest.mark.slow
def test_a_worker_killed_at_random_moments_does_everything_once(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM.replace("ORDERS)", f"{ORDERS})"))
    rng = random.Random(7)
    for _ in range(KILLS):
        with started(tmp_path) as process:
            time.sleep(rng.uniform(0.0, 1.2))
            process.send_signal(signal.SIGKILL)

    assert len(stored(tmp_path, "effect")) < 2 * ORDERS, "killed in the middle of the work"
    (tmp_path / "last").touch()
    with started(tmp_path) as process:
        deadline = time.monotonic() + 60
        while len(stored(tmp_path, "effect")) < 2 * ORDERS and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(1.0)  # one more than there should be would come now
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert process.returncode == 0
    effects = Counter((one["number"], one["by"]) for one in stored(tmp_path, "effect"))
    assert effects == {(number, by): 1 for number in range(ORDERS) for by in ("handle", "close")}
    assert rows(tmp_path, "SELECT * FROM deliveries WHERE status IN (2, 3)") == []
    ticks = [one["event_id"] for one in stored(tmp_path, "tick")]
    assert len(ticks) == len(set(ticks))
    assert rows(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    check_journal(tmp_path / "journal.txt")
