"""The first sync of two CRMs in process: records a second, and API calls beside the naive count."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.figure import Figure
from dovetail.app.load import load_program
from dovetail.core.log import configure_logging
from dovetail.testing.loop import run
from dovetail.testing.sandbox import sandboxed_app

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "crm_sync.py"


def measure(folder: Path, items: int) -> list[Figure]:
    del folder
    configure_logging("error")
    records = max(items // 10, 20)
    seconds, calls, naive = run(sync(records))
    both = 2 * records
    return [
        Figure(
            "records through the first sync",
            both / seconds,
            "ours",
            "simulators in the same process and core, no latency, SQLite in memory",
        ),
        Figure("API calls for 1,000 records", 1000 * calls / both, "ours", "reads and writes"),
        Figure(
            "the same, one look-up a record and one call a write",
            1000 * naive / both,
            "peer",
            "what a loop without batches needs",
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
