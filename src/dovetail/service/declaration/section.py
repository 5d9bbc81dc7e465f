"""One part of an explanation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Section:
    """One part of an explanation: a title, then sentences, then a table (if it has columns)."""

    title: str
    lines: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Plain JSON of the section."""
        return asdict(self)
