"""One running process per SQLite file: an operating-system lock beside the database."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from dovetail.errors import EnvironmentInUseError


class DatabaseLock:
    """
    Held while a process runs deliveries; the system lets go of it even after SIGKILL.

    Reading, and appending events from the command line, need no lock.
    """

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".lock")
        self._handle: int | None = None

    def acquire(self) -> None:
        """
        Take the lock.

        Raises:
            EnvironmentInUseError: Another process holds it (named by its id), or the folder
                cannot be written.
        """
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise EnvironmentInUseError(
                f"{self.path} cannot be written: {error.strerror}. Choose a folder that exists "
                "and is writable with --database.",
                path=str(self.path),
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            told = os.read(handle, 512).decode(errors="replace").split()
            holder = told[0] if told else "unknown"
            os.close(handle)
            raise EnvironmentInUseError(
                f"Another Dovetail process (id {holder}) is running on this database. Stop it "
                "first, or give this one a database of its own with --database.",
                path=str(self.path),
                holder=holder,
            ) from error
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"{os.getpid()}\n".encode())
        self._handle = handle

    def tell(self, address: str) -> None:
        """Say where this process answers, for those who find the lock held."""
        if self._handle is not None:
            os.write(self._handle, f"{address}\n".encode())

    def release(self) -> None:
        """Let go; safe to repeat."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @property
    def holder(self) -> str | None:
        """The process id of whoever holds the lock now, or None."""
        return next(iter(self._told()), None)

    @property
    def address(self) -> str | None:
        """The URL at which whoever holds the lock answers, if it said so."""
        return next(iter(self._told()[1:]), None)

    def _told(self) -> list[str]:
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            return []
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return os.read(handle, 512).decode(errors="replace").split()
        finally:
            os.close(handle)
        return []

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
