"""Why SQLite refused, and what to do about it."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa

from dovetail.errors import StoreError

_REFUSALS = {
    sqlite3.SQLITE_BUSY: (
        "locked",
        "Another process holds it: let that finish. The work is tried again by itself.",
    ),
    sqlite3.SQLITE_FULL: (
        "full",
        "The disk is full: free some space. The work is tried again by itself.",
    ),
    sqlite3.SQLITE_READONLY: (
        "read-only",
        "The file or its folder is read-only: make it writable.",
    ),
    sqlite3.SQLITE_IOERR: (
        "unreadable",
        "The disk fails: look at the system's own messages, and keep a backup of the file.",
    ),
}
_REFUSALS[sqlite3.SQLITE_LOCKED] = _REFUSALS[sqlite3.SQLITE_BUSY]


def store_error(error: sa.exc.OperationalError, path: str) -> StoreError:
    """Return our error of a refusal; `facts["refusal"]` says of which kind it is."""
    reason = str(error.orig)
    # The low byte is the kind; the rest says more precisely which (SQLite, "Result Codes").
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    refusal, advice = _REFUSALS.get(code, (None, "Run `dovetail doctor` to look at the database."))
    return StoreError(
        f"The database {path} refused: {reason}. {advice}",
        path=path,
        reason=reason,
        refusal=refusal,
    )
