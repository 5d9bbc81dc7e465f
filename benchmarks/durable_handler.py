"""
A keyed handler with one recorded step: the event, its delivery, the step and "done" are durable.

Beside it: a bare asyncio loop with group commit that makes the same writes into the same tables
and nothing else, and DBOS on SQLite, once as its queue with one run a key at a time (what we do),
once as plain workflows, which keep no order.
"""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.bare import BareGroup
from benchmarks.rounds import Sample, alternate, cost, rate, spread, timed
from benchmarks.row import Row
from dovetail import Event, on, step
from dovetail.app.app import App
from dovetail.app.load import program_of
from dovetail.app.memory import settle_memory
from dovetail.core.log import configure_logging
from dovetail.core.settings import Settings
from dovetail.runtime.log import EventDraft
from dovetail.testing.app import make_module

SENDERS, PER_COMMIT = 8, 50
MANY = 2048
"""Runs at the same time at most, where a run waits for nothing but the disk."""
PAYLOAD = b'{"n":12345}'
HASH = "0123456789abcdef01234567"


async def effect(number: int) -> int:
    return number + 1


@on("thing.happened")
async def handle(event: Event) -> None:
    await step("effect", effect, event.payload["n"])


def measure(folder: Path, items: int) -> list[Row]:
    configure_logging("warning")
    settle_memory()  # as `dovetail run` does; it serves the bare loop as well
    items = max(items // 2, 100)
    contestants = {
        "ours": lambda n: asyncio.run(durable(folder / f"ours{n}.db", items)),
        "many": lambda n: asyncio.run(durable(folder / f"many{n}.db", items, MANY)),
        "bare": lambda n: asyncio.run(bare(folder / f"bare{n}.db", items)),
    }
    if importlib.util.find_spec("dbos") is not None:
        wait = min(max(items / 4000, 0.5), 3.0)
        contestants["queue"] = lambda n: dbos("queue", folder / f"queue{n}.db", wait)
        contestants["plain"] = lambda n: dbos("plain", folder / f"plain{n}.db", wait)
    found = alternate(contestants)
    ours, beside = found["ours"], found["bare"]
    name = "durable keyed handler with one step"
    return [
        dbos_row(name, "queue", "one run a key at a time", found, at_least=150),
        dbos_row(name, "plain", "plain workflows, no order per key", found),
        Row(
            name,
            rate(ours),
            "events/s",
            "asyncio + sqlite3, same writes",
            rate(beside),
            at_least=0.3,
            note=f"{spread(ours)}; synchronous=FULL",
        ),
        Row(
            f"{name}, DOVETAIL_CONCURRENCY={MANY}",
            rate(found["many"]),
            "events/s",
            "asyncio + sqlite3, same writes",
            rate(beside),
            at_least=0.3,
            note=f"{spread(found['many'])}; synchronous=FULL",
        ),
        Row(
            "processor time of it",
            cost(ours),
            "ms",
            "asyncio + sqlite3, same writes",
            cost(beside),
            note="lower is better",
        ),
    ]


def dbos_row(
    name: str, kind: str, words: str, found: dict[str, list[Sample]], at_least: float | None = None
) -> Row:
    ours, theirs = found["ours"], found.get(kind)
    if theirs is None:
        beside = f"DBOS on SQLite, {words}: not installed (the bench extra)"
        return Row(name, rate(ours), "events/s", beside, None, at_least)
    note = f"processor time {cost(ours):.3f} ms beside {cost(theirs):.2f} ms"
    beside = f"DBOS on SQLite, {words}"
    return Row(name, rate(ours), "events/s", beside, rate(theirs), at_least, note=note)


async def durable(path: Path, items: int, concurrency: int | None = None) -> Sample:
    settings = Settings(database=path)
    if concurrency is not None:
        settings = replace(settings, concurrency=concurrency)
    app = App(program_of(make_module(handle)), settings=settings)
    await app.start(serve=False, schedules=False)
    log = app.runtime.log

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

    with timed(items) as sample:
        await asyncio.gather(*(sender(number * PER_COMMIT) for number in range(SENDERS)))
        await app.runtime.wait_idle()
    await app.stop()
    return sample


async def bare(path: Path, items: int) -> Sample:
    """Insert event and delivery, then, one task an event, the step, and mark the delivery done."""
    group = BareGroup(path)
    group.start()
    runs: list[asyncio.Task[None]] = []

    async def run(number: int) -> None:
        await group.write([("step", (number, 0, "effect", "", 0, 1, HASH, b"1", 0, 0, None))])
        await group.write([("done", (0, number))])

    async def sender(first: int) -> None:
        for start in range(first, items, SENDERS * PER_COMMIT):
            numbers = range(start + 1, min(start + PER_COMMIT, items) + 1)
            events = [("event", event_row(number)) for number in numbers]
            deliveries = [("delivery", delivery_row(number)) for number in numbers]
            await group.write(events + deliveries)
            runs.extend(asyncio.create_task(run(number)) for number in numbers)

    with timed(items) as sample:
        await asyncio.gather(*(sender(number * PER_COMMIT) for number in range(SENDERS)))
        await asyncio.gather(*runs)
    await group.close()
    return sample


def event_row(number: int) -> tuple[object, ...]:
    id = f"01980000-0000-7000-8000-{number:012d}"
    head = (number, id, "thing.happened", str(number), "default", "bench")
    return (*head, PAYLOAD, 0, None, None, None)


def delivery_row(number: int) -> tuple[object, ...]:
    return (number, number, "handle", "default", 0, 0, 0)


def dbos(kind: str, path: Path, seconds: float) -> Sample:
    """In a process of its own: it starts threads and keeps global state."""
    script = Path(__file__).with_name("dbos_peer.py")
    command = [sys.executable, str(script), kind, str(path), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    per_second, cpu_ms = done.stdout.split()[-2:]
    return Sample(float(per_second), float(cpu_ms))
