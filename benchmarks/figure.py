"""What a benchmark gives back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured rate; `what` is ours, a peer's, or a physical limit to compare with."""

    name: str
    per_second: float
    what: str
    note: str = ""
