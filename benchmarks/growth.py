"""
The first sync of many records: what one costs the syncing process, and how much memory it takes.

The simulators answer over HTTP from a process of their own, so that neither their time nor their
memory counts. With ``--items 20000`` the small sync has 10,000 records on both sides together, the
large one 100,000; ``SIZE=1000000`` makes it a million. The database is a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.crm import EXAMPLE, PLATFORMS, settled
from benchmarks.memory import memory_mb
from benchmarks.row import FEW_ROUNDS, Row
from benchmarks.wire import process
from dovetail.app.app import App
from dovetail.app.load import load_program
from dovetail.app.memory import settle_memory
from dovetail.core.log import configure_logging
from dovetail.core.settings import Settings
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.simulator_sdk.sandbox import serve_sandbox

HERE = Path(__file__).resolve().parents[1]
# What limits calls would make the process wait, which is not what is measured.
SETTINGS = {
    "hubspot": {"burst_limit": 10**9, "daily_limit": 10**9, "search_limit": 10**9},
    "salesforce": {"daily_limit": 10**9},
}


@dataclass(frozen=True, slots=True)
class Cost:
    """One first sync, told by the process that did it."""

    records: int
    cpu_ms: float
    wall_s: float
    memory_mb: float


def measure(folder: Path, items: int) -> list[Row]:
    small = max(items // 2, 40)
    large = int(os.environ.get("SIZE", max(items * 5, 80)))
    big = synced(folder / "large.db", large)
    little = [synced(folder / f"small{number}.db", small) for number in range(FEW_ROUNDS)]
    beside = f"{little[0].records:,} records"
    return [
        Row(
            f"a record of a first sync of {big.records:,}",
            big.cpu_ms,
            "ms",
            beside,
            statistics.median(one.cpu_ms for one in little),
            ratio_at_most=1.2,
            note=(
                f"processor time of the syncing process, lower is better; the large one once "
                f"({big.wall_s:.0f} s), the small one {FEW_ROUNDS} times"
            ),
        ),
        Row(
            "memory of the process at most",
            big.memory_mb,
            "MB",
            beside,
            max(one.memory_mb for one in little),
            at_most=300,
            note="resident, SQLite's mapped file apart",
        ),
    ]


def synced(path: Path, records: int) -> Cost:
    """Sync so many records, half of them on each side, in a process of its own."""
    with process(serve, records // 2) as described:
        command = [sys.executable, "-m", "benchmarks.growth", str(path), json.dumps(described)]
        done = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def serve(told: Any, people: int) -> None:
    asyncio.run(
        serve_sandbox(
            PLATFORMS, port=0, records=people, seed=1, settings=SETTINGS, on_ready=told.send
        )
    )


async def sync(path: Path, described: list[dict[str, Any]]) -> Cost:
    program = path.with_suffix(".py")
    text = EXAMPLE.read_text(encoding="utf-8")
    # What the sync wrote is read again by the polls; how often depends on how long it all takes.
    program.write_text(text.replace('"10 seconds"', '"1 hour"'), encoding="utf-8")
    app = App(load_program(program), settings=Settings(database=path))
    await app.open()
    for one in described:
        await app.connections.add(
            platform=one["platform"],
            business_id=DEFAULT_TENANT,
            secrets=one["credentials"],
            base_url=one["base_url"],
        )
    settle_memory()  # as `dovetail run` does
    began, cpu = time.perf_counter(), time.process_time()
    await app.start(serve=False)
    watching = asyncio.create_task(highest_memory_mb())
    await settled(app, 1.0)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    watching.cancel()
    status = await app.sync.status()
    memory_mb = await watching
    await app.stop()
    # Each record was there once before: those that the sync made are not counted again.
    links = sum(sum(spoke.links.values()) - spoke.counts.get("made", 0) for spoke in status.spokes)
    return Cost(links, 1000 * cpu_s / links, wall_s, memory_mb)


async def highest_memory_mb() -> float:
    """Look until cancelled; return the most that was seen."""
    highest = memory_mb()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            highest = max(highest, memory_mb())
            await asyncio.sleep(0.1)
    return highest


if __name__ == "__main__":
    configure_logging("error")
    print(json.dumps(asdict(asyncio.run(sync(Path(sys.argv[1]), json.loads(sys.argv[2]))))))
