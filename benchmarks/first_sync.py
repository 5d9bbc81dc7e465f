"""
The first sync of two CRMs in process: records a second, and API calls beside the least there are.

Two least numbers of calls, by the batch limits that the platforms document. One reads each record
once and writes each record that was made or changed once. The other carries what was carried, in
full batches: a record that is to be changed is read again first, an address is looked up before a
contact is made with it, and Salesforce answers a write with ids alone.
"""

from __future__ import annotations

import statistics
from pathlib import Path

from benchmarks.crm import first_sync
from benchmarks.row import ROUNDS, Row
from dovetail.core.log import configure_logging
from dovetail.testing.loop import run


def measure(folder: Path, items: int) -> list[Row]:
    del folder
    configure_logging("error")
    people = max(items // 20, 20)
    rounds = [run(first_sync(people)) for _ in range(ROUNDS)]
    synced = rounds[-1]
    per_thousand = 1000 / synced.records
    return [
        Row(
            "first sync of two CRMs",
            synced.records / statistics.median(one.wall_s for one in rounds),
            "records/s",
            "nothing: no peer runs without real accounts",
            note=(
                "simulators in the same process and core, no latency, SQLite in memory; "
                f"{1000 * statistics.median(one.cpu_s for one in rounds) / synced.records:.2f} ms "
                "of the processor a record"
            ),
        ),
        Row(
            "API calls for 1,000 records",
            per_thousand * synced.calls,
            "calls",
            "each read once and written once, in full batches",
            per_thousand * synced.least_for_changes,
            ratio_at_most=1.1,
            note="reads and writes; lower is better",
        ),
        Row(
            "API calls for 1,000 records",
            per_thousand * synced.calls,
            "calls",
            "the same rows in full batches",
            per_thousand * synced.least_for_rows,
            ratio_at_most=1.1,
            note=synced.detail,
        ),
    ]
