"""Measures in turn, so that a busy moment of the machine does not fall on one side alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.row import ROUNDS

S = TypeVar("S")


@dataclass(slots=True)
class Sample:
    """One round: how many a second, and what one cost the processors, in milliseconds."""

    per_second: float = 0.0
    cpu_ms: float = 0.0


@contextmanager
def timed(items: int) -> Iterator[Sample]:
    """Fill in the sample when the block ends."""
    sample = Sample()
    wall, cpu = time.perf_counter(), time.process_time()
    yield sample
    sample.per_second = items / (time.perf_counter() - wall)
    sample.cpu_ms = 1000 * (time.process_time() - cpu) / items


def alternate(
    contestants: Mapping[str, Callable[[int], S]], rounds: int = ROUNDS
) -> dict[str, list[S]]:
    """Call every contestant once a round (with the round's number); return the samples of each."""
    found: dict[str, list[S]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            found[name].append(contestant(number))
    return found


def rate(samples: list[Sample]) -> float:
    return statistics.median(sample.per_second for sample in samples)


def cost(samples: list[Sample]) -> float:
    return statistics.median(sample.cpu_ms for sample in samples)


def spread(samples: list[Sample]) -> str:
    rates = [sample.per_second for sample in samples]
    return f"{min(rates):,.0f} to {max(rates):,.0f} in {len(rates)} rounds"
