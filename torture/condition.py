"""
What goes wrong around a running worker for a while: a full disk, a read-only file, a lock, a clock.

Each begins and ends while the worker runs, and says what it could not do here.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from torture.clock import write_shift
from torture.process import Forked, Worker
from torture.volume import Volume, set_immutable

_SHIFTS = (-7_200.0, -240.0, -90.0, 90.0, 240.0, 7_200.0)
"""Seconds: within and beyond the five minutes that a webhook's signature is good for."""


class Condition:
    """Something that goes wrong for a while; `stops_writing` until it ends."""

    name = ""
    stops_writing = True

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def begin(self) -> bool:
        """Let it go wrong; False where this process may not."""
        raise NotImplementedError

    def end(self) -> None:
        """Put it right; safe to repeat."""
        raise NotImplementedError


class DiskFull(Condition):
    """There is no room for the database."""

    name = "disk full"

    def __init__(self, worker: Worker, volume: Volume) -> None:
        super().__init__(worker)
        self.volume = volume
        self._limited: int | None = None

    def begin(self) -> bool:
        # Room inside the write-ahead log would hide the full disk for many commits.
        _fold(self.worker.database)
        self._limited = self.worker.pid
        self.volume.fill(self._limited)
        return True

    def end(self) -> None:
        self.volume.free(self._limited if self._limited == self.worker.pid else None)


class ReadOnly(Condition):
    """
    Nobody may write to the files of the database.

    Permissions say nothing to root, and nothing to whoever has the file open; the immutable
    attribute (``chattr +i``: root, ext4, xfs or btrfs) refuses every write, of open files too.
    """

    name = "read-only"

    def begin(self) -> bool:
        return set_immutable(self._files(), on=True)

    def end(self) -> None:
        set_immutable(self._files(), on=False)

    def _files(self) -> list[Path]:
        database = self.worker.database
        return [database, database.with_name(database.name + "-wal")]


class Locked(Condition):
    """Another process has begun to write and does not end."""

    name = "locked"

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker)
        self._holder = Forked(worker.folder / "holder.log")

    def begin(self) -> bool:
        held = self.worker.folder / "held"
        held.unlink(missing_ok=True)
        self._holder.start(lambda: _hold(self.worker.database, held))
        while not held.exists() and self._holder.is_alive:
            time.sleep(0.01)
        return held.exists()

    def end(self) -> None:
        self._holder.kill()


class ClockJump(Condition):
    """The wall clock jumps by minutes or hours, and back at the end."""

    name = "clock jump"
    stops_writing = False

    def __init__(self, worker: Worker, rng: random.Random) -> None:
        super().__init__(worker)
        self._rng = rng

    def begin(self) -> bool:
        write_shift(self.worker.clock, self._rng.choice(_SHIFTS))
        return True

    def end(self) -> None:
        if self.worker.clock.exists():
            write_shift(self.worker.clock, 0.0)


def conditions(worker: Worker, volume: Volume, rng: random.Random) -> list[Condition]:
    """Return one of each."""
    return [DiskFull(worker, volume), ReadOnly(worker), Locked(worker), ClockJump(worker, rng)]


def _fold(database: Path) -> None:
    # Busy: somebody reads or writes just now; the log is a little longer then.
    with (
        closing(sqlite3.connect(database, timeout=5)) as connection,
        suppress(sqlite3.OperationalError),
    ):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _hold(database: Path, held: Path) -> int:
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        held.touch()
        while True:
            time.sleep(60)
