"""The first sync of two CRMs in process: records a second, and API calls beside the naive count."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.row import ROUNDS, Row
from dovetail.app.load import load_program
from dovetail.core.log import configure_logging
from dovetail.testing.loop import run
from dovetail.testing.sandbox import sandboxed_app

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "crm_sync.py"


def measure(folder: Path, items: int) -> list[Row]:
    del folder
    configure_logging("error")
    records = max(items // 20, 20)
    rounds = [run(sync(records)) for _ in range(ROUNDS)]
    seconds = statistics.median(seconds for seconds, _, _ in rounds)
    _, calls, naive = rounds[-1]
    both = 2 * records
    return [
        Row(
            "first sync of two CRMs",
            both / seconds,
            "records/s",
            "nothing: no peer runs without real accounts",
            note="simulators in the same process and core, no latency, SQLite in memory",
        ),
        Row(
            "API calls for 1,000 records",
            1000 * calls / both,
            "calls",
            "one look-up a record, one call a write",
            1000 * naive / both,
            note="reads and writes; lower is better",
        ),
    ]


async def sync(records: int) -> tuple[float, int, int]:
    started = time.perf_counter()
    async with sandboxed_app(load_program(EXAMPLE), records=records, webhooks=False) as world:
        seconds = time.perf_counter() - started
        calls = sum([await world.calls(name) for name in world.simulators])
        status = await world.app.sync.status()
    written = sum(
        spoke.counts.get(name, 0) for spoke in status.spokes for name in ("made", "written")
    )
    return seconds, calls, 2 * records + written
