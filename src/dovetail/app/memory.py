"""
The garbage collector of a process that runs an app.

What a run allocates is freed by counting references, nearly all of it. The collector, which looks
for cycles, goes through everything that is held whenever some hundreds of objects were made: with
Python's defaults that is a quarter of the processor time of an event (decision 0011).
"""

from __future__ import annotations

import gc

# How many objects more than were freed before the young, and how many collections of those before
# the older ones are looked through. Some megabytes may wait to be freed.
_THRESHOLDS = (20_000, 20, 50)


def settle_memory() -> None:
    """
    Leave what is loaded by now out of collections, and collect more seldom.

    For a process of one's own, once it is started: `dovetail run` calls it. An app inside another
    program leaves the collector to that program.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
