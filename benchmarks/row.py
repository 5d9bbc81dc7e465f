"""What a benchmark gives back: our figure, beside it a peer's or a limit's of the same run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
"""Figures are medians of five; whoever only wants to see them run takes one."""
FEW_ROUNDS = min(ROUNDS, 3)
"""For what takes long."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One line of the table; `theirs` is None where nothing could be measured beside ours.

    `holds` says whether the goal is reached: None where there is no goal, or nothing to compare
    with. A row that falls short stays in the table.
    """

    name: str
    ours: float
    unit: str
    beside: str
    theirs: float | None = None
    at_least: float | None = None
    """Goal for the ratio of ours to theirs."""
    at_most: float | None = None
    """Goal for ours itself, in its unit."""
    ratio_at_most: float | None = field(default=None, kw_only=True)
    """Goal for the ratio where less is better."""
    note: str = field(default="", kw_only=True)

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.theirs else None

    @property
    def goal(self) -> str | None:
        if self.at_least is not None:
            return f"ratio >= {self.at_least:g}"
        if self.ratio_at_most is not None:
            return f"ratio <= {self.ratio_at_most:g}"
        return None if self.at_most is None else f"<= {self.at_most:g} {self.unit}"

    @property
    def holds(self) -> bool | None:
        if self.at_most is not None:
            return self.ours <= self.at_most
        ratio = self.ratio
        if ratio is None or (self.at_least is None and self.ratio_at_most is None):
            return None
        return (self.at_least is None or ratio >= self.at_least) and (
            self.ratio_at_most is None or ratio <= self.ratio_at_most
        )

    def to_record(self) -> dict[str, object]:
        names = ("name", "ours", "unit", "beside", "theirs", "ratio", "goal", "holds", "note")
        record = {name: getattr(self, name) for name in names}
        return {name: rounded(value) for name, value in record.items()}


def rounded(value: object) -> object:
    """Four digits: more than the machine is good for."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
