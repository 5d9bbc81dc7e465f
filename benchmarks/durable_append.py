"""
How many events a second `send` makes durable, and how soon a handler has them.

Fifty to a commit, as one session sends them, beside sqlite3 inserting the same rows with the same
commits. The wait from `send` to the handler's first line is measured when nothing else happens and
at half of the rate that the machine was just seen to bear, beside one bare commit.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.bare import SQL, connect
from benchmarks.durable_handler import event_row
from benchmarks.rounds import Sample, alternate, cost, rate, spread, timed
from benchmarks.row import ROUNDS, Row
from dovetail import Event, on, send
from dovetail.app.app import App
from dovetail.app.load import program_of
from dovetail.app.memory import settle_memory
from dovetail.core.log import configure_logging
from dovetail.core.settings import Settings
from dovetail.testing.app import make_module

PER_COMMIT = 50
SINGLE = 200
"""How many times the wait of one event is measured a round."""

waits: list[float] = []


@on("wait.measured")
async def handle(event: Event) -> None:
    waits.append(time.perf_counter() - event.payload["sent"])


def measure(folder: Path, items: int) -> list[Row]:
    configure_logging("warning")
    settle_memory()  # as `dovetail run` does
    found = alternate(
        {
            "ours": lambda n: asyncio.run(sent(folder / f"ours{n}.db", items)),
            "raw": lambda n: raw(folder / f"raw{n}.db", items, PER_COMMIT),
        }
    )
    rows = [
        Row(
            f"send, durable, {PER_COMMIT} a commit",
            rate(found["ours"]),
            "events/s",
            "sqlite3 inserts, same commits",
            rate(found["raw"]),
            at_least=0.3,
            note=f"processor time {cost(found['ours']):.3f} ms beside {cost(found['raw']):.3f} "
            f"ms; {spread(found['ours'])}",
        )
    ]
    bearable = asyncio.run(handled(folder / "bearable.db", max(items // 4, 100)))
    single = alternate(
        {
            "idle": lambda n: asyncio.run(waited(folder / f"idle{n}.db", 100.0, SINGLE)),
            "half": lambda n: asyncio.run(
                waited(folder / f"half{n}.db", bearable / 2, int(bearable))
            ),
            "commit": lambda n: commits(folder / f"commit{n}.db"),
        }
    )
    for name, words in (("idle", "idle"), ("half", f"at {bearable / 2:,.0f} events/s, half load")):
        for point in (50, 99):
            rows.append(
                Row(
                    f"send to handler, {words}, p{point}",
                    percentile(single[name], point),
                    "ms",
                    f"one bare commit, p{point}",
                    percentile(single["commit"], point),
                    note="includes the commit; lower is better",
                )
            )
    return rows


def percentile(rounds: list[list[float]], point: int) -> float:
    """Return milliseconds: the median over the rounds of their percentile."""
    found = sorted(sorted(one)[min(len(one) * point // 100, len(one) - 1)] for one in rounds)
    return 1000 * found[ROUNDS // 2]


async def sent(path: Path, items: int) -> Sample:
    app = App(settings=Settings(database=path))
    await app.open()
    with timed(items) as sample:
        for start in range(0, items, PER_COMMIT):
            async with app.session():
                for number in range(start, min(start + PER_COMMIT, items)):
                    await send("thing.happened", {"n": number}, key=str(number))
    await app.stop()
    return sample


def raw(path: Path, items: int, per_commit: int) -> Sample:
    connection = connect(path)
    with timed(items) as sample:
        for start in range(1, items + 1, per_commit):
            numbers = range(start, min(start + per_commit, items + 1))
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(SQL["event"], [event_row(number) for number in numbers])
            connection.execute("COMMIT")
    connection.close()
    return sample


def commits(path: Path) -> list[float]:
    connection = connect(path)
    found = []
    for number in range(1, SINGLE + 1):
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(SQL["event"], event_row(number))
        connection.execute("COMMIT")
        found.append(time.perf_counter() - started)
    connection.close()
    return found


async def handled(path: Path, items: int) -> float:
    """Return how many single events a second are sent and handled, as fast as it goes."""
    app = await running(path)
    numbers = iter(range(items))

    async def sender() -> None:
        for _ in numbers:
            await send_one(app)

    with timed(items) as sample:
        await asyncio.gather(*(sender() for _ in range(64)))
        await app.runtime.wait_idle()
    await app.stop()
    return sample.per_second


async def waited(path: Path, per_second: float, items: int) -> list[float]:
    """Return the seconds between `send` and the handler for events that come at a steady rate."""
    app = await running(path)
    loop = asyncio.get_running_loop()
    started, tasks = loop.time(), []
    for number in range(items):
        ahead = started + number / per_second - loop.time()
        if ahead > 0:
            await asyncio.sleep(ahead)
        tasks.append(asyncio.create_task(send_one(app)))
    await asyncio.gather(*tasks)
    await app.runtime.wait_idle()
    await app.stop()
    return list(waits)


async def running(path: Path) -> App:
    waits.clear()
    app = App(program_of(make_module(handle)), settings=Settings(database=path))
    await app.start(serve=False, schedules=False)
    return app


async def send_one(app: App) -> None:
    async with app.session():
        await send("wait.measured", {"sent": time.perf_counter()})
