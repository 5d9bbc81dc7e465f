"""
Runs the same handler on DBOS and prints events a second and milliseconds of processor time.

    dbos_peer.py queue|plain DATABASE SECONDS
"""

from __future__ import annotations

import sys
import time

from dbos import DBOS, SetEnqueueOptions

POLL_S = 0.05
"""Its default of a second would measure the waiting."""

AT_ONCE = 50


@DBOS.step()
def effect(number: int) -> int:
    return number + 1


@DBOS.workflow()
def handle(number: int) -> int:
    return effect(number)


def queued(items: int) -> None:
    handles = []
    for number in range(items):
        with SetEnqueueOptions(queue_partition_key=str(number)):
            handles.append(DBOS.enqueue_workflow("bench", handle, number))
    for started in handles:
        started.get_result()


def plain(items: int) -> None:
    for number in range(items):  # one after the other is its fastest: threads and tasks cost more
        handle(number)


def main(kind: str, database: str, seconds: float) -> None:
    url = f"sqlite:///{database}"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
    DBOS.launch()
    DBOS.register_queue("bench", partition_concurrency=1, polling_interval_sec=POLL_S)
    work = queued if kind == "queue" else plain
    work(AT_ONCE)  # the code is warm
    time.sleep(2 * POLL_S)
    items, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:  # it waits for the disk often: bound the time
        work(AT_ONCE)
        items += AT_ONCE
    took, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    DBOS.destroy()
    print(items / took, 1000 * cpu_seconds / items)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
