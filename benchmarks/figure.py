"""Single rates, for a benchmark whose parts need no rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.row import Row


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured rate; `what` is ours, a peer's, or a physical limit to compare with."""

    name: str
    per_second: float
    what: str
    note: str = ""


def rows_of(figures: Sequence[Figure]) -> list[Row]:
    """Put each figure of ours beside the first that is not."""
    others = [figure for figure in figures if figure.what != "ours"]
    beside, theirs = (others[0].name, others[0].per_second) if others else ("nothing", None)
    return [
        Row(figure.name, figure.per_second, "/s", beside, theirs, note=figure.note)
        for figure in figures
        if figure.what == "ours"
    ]
