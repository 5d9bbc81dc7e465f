"""
The write-ahead log of SQLite, kept small.

SQLite folds the log back into the file by itself every thousand pages, but can only begin it anew
when no reader stands in it, so that under constant load it would grow. Three things bound it::

    SQLite's own checkpoint       after a commit, as far as readers allow
    past `LIMIT_BYTES`            after a commit: wait a moment for readers, then begin anew
    when nothing was written      fold everything back and give the space to the disk
    for a few seconds
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa

LIMIT_BYTES = 16 * 1024 * 1024
_STEP_BYTES = 4 * 1024 * 1024
_PATIENCE_MS = 25
"""How long a commit may wait for readers to leave the log; only when it is past its limit."""


class WriteAheadLog:
    """
    The log of one database file.

    Args:
        database: The file.
        busy_s: What the connections' busy timeout is otherwise.
        limit: Bytes beyond which commits see to it that the log begins anew.
    """

    def __init__(self, database: str, busy_s: float, limit: int = LIMIT_BYTES) -> None:
        self._path = Path(f"{database}-wal")
        self._busy_ms = int(busy_s * 1000)
        self._limit = limit
        self._try_at = limit
        self.reading = Lock()
        """Held while this process reads, so that its own reader makes room between two reads."""

    @property
    def pragmas(self) -> tuple[str, ...]:
        """What a connection is told when it is opened."""
        return ("journal_mode=WAL", "wal_autocheckpoint=1000", f"journal_size_limit={self._limit}")

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def after_commit(self, connection: sa.Connection) -> None:
        """Begin the log anew if it has outgrown its limit; on the writer, between transactions."""
        size = self.size
        if size <= self._try_at:
            self._try_at = max(self._limit, min(self._try_at, size + _STEP_BYTES))
            return
        if self._begin_anew(connection):
            self._try_at = self._limit + _STEP_BYTES  # the file itself shrinks with the next commit
        else:
            # A reader stays in it (a backup, say): ask again later, not with every commit.
            self._try_at = size + _STEP_BYTES

    def when_idle(self, connection: sa.Connection) -> None:
        """Fold everything back and empty the file; whatever is in the way is left for later."""
        if self.size:
            self._checkpoint(connection, "TRUNCATE")

    def _begin_anew(self, connection: sa.Connection) -> bool:
        if not self.reading.acquire(timeout=_PATIENCE_MS / 1000):
            return False
        try:
            return self._checkpoint(connection, "RESTART")
        finally:
            self.reading.release()

    def _checkpoint(self, connection: sa.Connection, mode: str) -> bool:
        try:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_PATIENCE_MS}")
            busy: Any = connection.exec_driver_sql(f"PRAGMA wal_checkpoint({mode})").scalar()
        except sa.exc.OperationalError:
            # The disk is full, say. What was committed is in the log; the next commit tells.
            return False
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={self._busy_ms}")
        return not busy


def vacuum_step(pages: int) -> Callable[[sa.Connection], int]:
    """Return a function that gives up to *pages* free pages back and tells how many are left."""

    def work(connection: sa.Connection) -> int:
        # Each step of the statement moves one page, and only a script is stepped to its end.
        raw: Any = connection.connection.dbapi_connection
        raw.executescript(f"PRAGMA incremental_vacuum({pages})")
        return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0)

    return work
