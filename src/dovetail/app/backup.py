"""
A copy of a database that is in use: whole, of one moment, and looked at before it is called done.

SQLite's online backup reads a few pages at a time. One read transaction is held over all of them:
without it, every commit of the running process would make the backup begin again. Nobody who
writes waits; the write-ahead log grows by what is written meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from dovetail.errors import ConfigError, EnvironmentInUseError, StoreError

_PAGES = 256
_PAUSE_S = 0.002
"""1 MiB and a breath: a large file takes the disk for minutes, but never for itself alone."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished backup: where it is, its size in bytes, and its rows by table."""

    path: Path
    size: int
    rows: dict[str, int]


def back_up(
    database: Path,
    target: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Backup:
    """
    Copy a database into a file that is complete, checked and on the disk when this returns.

    Args:
        database: The file; other processes may use it meanwhile.
        target: The copy; replaced only by one that was checked.
        force: Replace what is there.
        progress: Told pages that remain and pages in all.

    Raises:
        ConfigError: There is no database, or there is a file at the target already.
        EnvironmentInUseError: The target cannot be written.
        StoreError: The database is damaged, or could not be read.
    """
    _check_places(database, target, force=force)
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        # Made by its owner alone: it holds what the database holds.
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        rows = _copy(database, draft, progress)
        _verify(draft, rows)
        _publish(draft, target, force=force)
    except OSError as error:
        raise EnvironmentInUseError(
            f"{target} cannot be written: {error.strerror}. Choose a folder that exists, is "
            "writable and has room for the database.",
            path=str(target),
        ) from error
    except sqlite3.Error as error:
        raise StoreError(
            f"The backup of {database} failed: {error}. Nothing was left at {target}. See that the "
            "disk has room, and look at the database with `dovetail doctor --deep`.",
            path=str(database),
            reason=str(error),
        ) from error
    finally:
        for leftover in (draft, Path(f"{draft}-journal"), Path(f"{draft}-wal")):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
    return Backup(target, target.stat().st_size, rows)


def _check_places(database: Path, target: Path, *, force: bool) -> None:
    if not database.exists():
        raise ConfigError(
            f"There is no database {database}. Name it with --database.", path=str(database)
        )
    if target.exists():
        if target.samefile(database):
            raise ConfigError(f"{target} is the database itself. Name another file.")
        if not force:
            raise ConfigError(
                f"There is a file {target} already. Name another, or replace it with --force.",
                path=str(target),
            )
        if not target.is_file():
            raise ConfigError(f"{target} is not a file. Name a file.", path=str(target))


def _copy(
    database: Path, draft: Path, progress: Callable[[int, int], None] | None
) -> dict[str, int]:
    def told(_status: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(remaining, total)

    with (
        closing(sqlite3.connect(database, timeout=10, isolation_level=None)) as source,
        closing(sqlite3.connect(draft)) as copy,
    ):
        source.execute("PRAGMA query_only=ON")
        source.execute("BEGIN")
        rows = count_rows(source)  # the first read fixes the moment, for the copy too
        source.backup(copy, pages=_PAGES, progress=told, sleep=_PAUSE_S)
        source.execute("ROLLBACK")
    return rows


def _verify(draft: Path, rows: dict[str, int]) -> None:
    # In the journal mode of its header (WAL) reading would leave files beside it; it is immutable.
    with closing(sqlite3.connect(f"{draft.absolute().as_uri()}?immutable=1", uri=True)) as copy:
        said = [str(row[0]) for row in copy.execute("PRAGMA integrity_check(5)")]
        if said != ["ok"]:
            raise sqlite3.DatabaseError("; ".join(said))
        found = count_rows(copy)
    if found != rows:
        wrong = [name for name in rows if found.get(name) != rows[name]]
        raise sqlite3.DatabaseError(f"the copy has other rows in {', '.join(wrong)}")


def _publish(draft: Path, target: Path, *, force: bool) -> None:
    handle = os.open(draft, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    if force:
        draft.replace(target)
    else:
        os.link(draft, target)  # fails if somebody made it meanwhile, where a rename would not
    folder = os.open(target.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Return table -> rows."""
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " ORDER BY name"
    ).fetchall()
    return {
        name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - its own names
        for (name,) in names
    }
