"""How much memory this process takes."""

from __future__ import annotations

from pathlib import Path


def memory_mb() -> float:
    """Return the resident memory, without the pages of the database file that SQLite maps."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    for line in status.read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    return 0.0
