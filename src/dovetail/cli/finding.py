"""What `dovetail doctor` finds, and what it finds out about the database file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.app.app import App
    from dovetail.app.size import DatabaseSize
    from dovetail.runtime.store.port import Tx

FINE, WARNING, PROBLEM = "ok", "warn", "problem"

_MIB = 1024 * 1024
_BIG_WAL = 256 * _MIB
_BIG_FREE = 64 * _MIB


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: how it is, and what to do when it is not well."""

    status: str
    name: str
    detail: str
    advice: str = ""


async def integrity(world: App, *, deep: bool) -> Finding:
    """Check the file: its structure, and with *deep* every index entry against its table."""
    pragma = "integrity_check(5)" if deep else "quick_check(5)"

    def check(tx: Tx) -> list[str]:
        import sqlalchemy as sa

        return [str(row[0]) for row in tx.rows(sa.text(f"PRAGMA {pragma}"))]

    said = await world.store.read(check)
    if said == ["ok"]:
        how = "whole, every index entry looked at" if deep else "whole"
        return Finding(FINE, "database", f"{world.settings.database} is {how}.")
    advice = "Stop every process on it and restore a backup, or `sqlite3 FILE .recover`."
    return Finding(PROBLEM, "database", "; ".join(said), advice)


def wal(database: Path) -> Finding:
    """Look at the write-ahead log."""
    path = database.with_name(database.name + "-wal")
    size = path.stat().st_size if path.exists() else 0
    shown = f"{size / _MIB:.1f} MiB of write-ahead log."
    if size < _BIG_WAL:
        return Finding(FINE, "write-ahead log", shown)
    advice = "A reader keeps it from being folded back: end long-running readers of the file."
    return Finding(WARNING, "write-ahead log", shown, advice)


def size(found: DatabaseSize) -> Finding:
    """Tell how large the file is, and whether much of it is free for good."""
    detail = f"{found.size / _MIB:.1f} MiB, of which {found.free / _MIB:.1f} MiB are free."
    if found.gives_back or found.free < max(_BIG_FREE, found.size // 4):
        return Finding(FINE, "size", detail)
    advice = "Stop, then `sqlite3 FILE 'PRAGMA auto_vacuum=2; VACUUM'`; once is enough."
    return Finding(WARNING, "size", detail, advice)


async def retention(world: App) -> Finding:
    """Tell what would be removed now."""
    from dovetail.app.retention import measure

    cutoff = world.operations.retention.cutoff
    if cutoff is None:
        return Finding(FINE, "retention", "Everything is kept, because DOVETAIL_KEEP_DAYS is 0.")
    found = await world.store.read(lambda tx: measure(tx, cutoff))
    days = f"{world.settings.keep_days:g} days"
    if not found.events:
        return Finding(FINE, "retention", f"Nothing is over for {days}.")
    detail = (
        f"{found.events:,} events, {found.deliveries:,} runs and {found.steps:,} steps are over "
        f"for {days}; `dovetail run` removes them, little by little."
    )
    return Finding(FINE, "retention", detail)
