"""``dovetail backup``: a copy of the database, while it is in use."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import settings_for
from dovetail.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovetail.app.backup import Backup

app = new_app()

_MIB = 1024 * 1024


@app.command()
@command
async def backup(
    screen: Screen,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    with_key: Annotated[
        bool,
        typer.Option("--with-key", help="Copy the key file to FILE.key, too: see to who reads it."),
    ] = False,
    database: Database = None,
) -> None:
    """
    Copy the database into a file, while it is in use.

    The copy is of one moment, checked for integrity and row by row count. Credentials in it are
    sealed: without the key file (or DOVETAIL_SECRET_KEY) they cannot be used again.
    """
    from dovetail.app.backup import back_up

    settings = settings_for(database)
    key = settings.database.with_name(settings.database.name + ".key")
    has_key = key.exists() and not settings.secret_key
    if with_key and has_key:
        _check_key(Path(f"{file}.key"), force=force)
    with _Bar(screen) as bar:
        done = await asyncio.to_thread(
            back_up, settings.database, file, force=force, progress=bar.show
        )
    copied = _copy_key(key, Path(f"{file}.key")) if with_key and has_key else None
    _tell(screen, done, key if has_key else None, copied)


def _tell(screen: Screen, done: Backup, key: Path | None, copied: Path | None) -> None:
    if screen.json:
        screen.document(
            {
                "file": str(done.path),
                "bytes": done.size,
                "rows": done.rows,
                "key_file": str(copied) if copied else None,
            }
        )
        return
    rows = sum(done.rows.values())
    screen.text(
        f"{done.path}: {done.size / _MIB:.1f} MiB, {rows:,} rows in {len(done.rows)} tables, "
        "checked."
    )
    if copied is not None:
        screen.note(f"The key is at {copied}. Whoever has both files has the credentials.")
    elif key is not None:
        screen.note(f"Keep {key} as well, in another place: it opens the credentials.")


def _check_key(target: Path, *, force: bool) -> None:
    from dovetail.errors import ConfigError

    if target.exists() and not force:
        raise ConfigError(
            f"There is a file {target} already. Name another FILE, or replace it with --force.",
            path=str(target),
        )


def _copy_key(key: Path, target: Path) -> Path:
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as copy:
        copy.write(key.read_bytes())
        copy.flush()
        os.fsync(copy.fileno())
    draft.replace(target)
    return target


class _Bar:
    """Shows how far it is, on a terminal."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.show: Callable[[int, int], None] | None = None

    def __enter__(self) -> _Bar:
        if self._screen.err.is_terminal and not self._screen.json:
            from rich.progress import Progress

            self._bars = Progress(console=self._screen.err, transient=True)
            self._bars.start()
            task = self._bars.add_task("Copying", total=None)
            self.show = lambda left, pages: self._bars.update(
                task, completed=pages - left, total=pages
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.show is not None:
            self._bars.stop()
