"""``dovetail doctor``: everything that a running Dovetail leans on, looked at."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import stat
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import settings_for
from dovetail.cli.finding import (
    FINE,
    PROBLEM,
    WARNING,
    Finding,
    integrity,
    retention,
    size,
    wal,
)
from dovetail.cli.screen import FAILED, OK, Screen
from dovetail.errors import DovetailError

if TYPE_CHECKING:
    from dovetail.app.app import App
    from dovetail.app.size import DatabaseSize
    from dovetail.core.settings import Settings
    from dovetail.model.integration import Connection

app = new_app()

_STYLES = {FINE: "green", WARNING: "yellow", PROBLEM: "bold red"}
_ASK_S = 10.0


@app.command()
@command
async def doctor(
    screen: Screen,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port that `dovetail run` will take.")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Look at every entry of every index; takes longer.")
    ] = False,
    database: Database = None,
) -> int:
    """
    Look at machine, database and connections; say what to do.

    Shows what takes room, too. Each connection is tested at its platform. Ends with exit code 1
    when there is a problem.
    """
    from dovetail.app.lock import DatabaseLock

    settings = settings_for(database, port=port)
    holder = DatabaseLock(settings.database).holder
    found = [_python(), *_packages(), _folder(settings.database.resolve().parent)]
    sizes: DatabaseSize | None = None
    if settings.database.exists():
        inside, sizes = await _look_inside(settings, deep=deep)
        found += inside
    else:
        advice = "`dovetail connect` or `dovetail run` makes it."
        found.append(Finding(WARNING, "database", f"{settings.database} is not there.", advice))
    found.append(
        Finding(FINE, "process", f"Process {holder} runs on this database.")
        if holder
        else Finding(FINE, "process", "No process runs on this database.")
    )
    found.append(_port(settings, is_running=holder is not None))
    if screen.json:
        size_record = asdict(sizes) if sizes is not None else None
        screen.document({"findings": [asdict(one) for one in found], "size": size_record})
    else:
        screen.table(
            ("", "What", "How it is", "What to do"),
            [(one.status, one.name, one.detail, one.advice) for one in found],
            styles=_STYLES,
        )
        if sizes is not None:
            _show_sizes(screen, sizes)
    return FAILED if any(one.status == PROBLEM for one in found) else OK


def _python() -> Finding:
    import sqlite3

    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return Finding(FINE, "versions", versions)


def _packages() -> list[Finding]:
    """Look at the connectors of other packages: what is broken cannot be synced."""
    from dovetail.connector_sdk.registry import broken_connectors, refused_connectors

    advice = "`dovetail connectors`"
    return [
        Finding(PROBLEM, f"connector {one.facts['platform']}", one.message, advice)
        for one in (*refused_connectors(), *broken_connectors())
    ]


def _folder(folder: Path) -> Finding:
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Finding(FINE, "folder", f"{folder} can be written.")
    advice = "Make it writable, or name another file with --database."
    return Finding(PROBLEM, "folder", f"{folder} cannot be written.", advice)


async def _look_inside(
    settings: Settings, *, deep: bool
) -> tuple[list[Finding], DatabaseSize | None]:
    from dovetail.app.app import App
    from dovetail.app.size import read_size

    before = _key(settings)
    sizes: DatabaseSize | None = None
    try:
        async with App(settings=settings) as world:
            sizes = await world.store.read(read_size)
            found = [
                await integrity(world, deep=deep),
                await _schema(world),
                size(sizes),
                wal(settings.database),
                await retention(world),
                before,
                *await _deliveries(world),
            ]
            active = [one for one in await world.connections.list() if one.status == "active"]
            tested = await asyncio.gather(*(_connection(world, one) for one in active))
            return found + list(tested), sizes
    except DovetailError as error:
        return [before, Finding(PROBLEM, "database", error.message)], sizes


def _show_sizes(screen: Screen, sizes: DatabaseSize) -> None:
    screen.table(
        ("Table", "Rows", "KiB with indexes"),
        [
            (one.name, f"{one.rows:,}", "" if one.size is None else f"{one.size / 1024:,.0f}")
            for one in sizes.tables
            if one.rows
        ],
        right=("Rows", "KiB with indexes"),
        title="Size",
    )


async def _schema(world: App) -> Finding:
    import sqlalchemy as sa

    found = await world.store.read(
        lambda tx: tx.scalar(sa.text("SELECT version_num FROM alembic_version"))
    )
    return Finding(FINE, "schema", f"Revision {found}, this version's newest.")


def _key(settings: Settings) -> Finding:
    if settings.secret_key:
        return Finding(FINE, "secret key", "Given as DOVETAIL_SECRET_KEY.")
    path = settings.database.with_name(settings.database.name + ".key")
    if not path.exists():
        advice = "Put the key file back if there are connections; else one is made."
        return Finding(WARNING, "secret key", f"{path} is not there.", advice)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        detail = f"{path} can be read by others (mode {mode:o})."
        return Finding(PROBLEM, "secret key", detail, f"chmod 600 {path}")
    return Finding(FINE, "secret key", f"{path} is its owner's alone.")


async def _deliveries(world: App) -> list[Finding]:
    from dovetail.runtime.history import count_by_status

    counts = await world.store.read(count_by_status)
    dead, waiting = counts.get("dead", 0), counts.get("open", 0)
    return [
        Finding(WARNING, "dead letters", f"{dead} wait for a decision.", "`dovetail dead list`")
        if dead
        else Finding(FINE, "dead letters", "None."),
        Finding(FINE, "open deliveries", f"{waiting}"),
    ]


async def _connection(world: App, record: Connection) -> Finding:
    """Ask the platform whose credentials these are."""
    from dovetail.connector_sdk.base import Account

    name = f"{record.platform} {record.account or record.id}"
    again = f"`dovetail connect {record.platform}`"
    try:
        connector = await world.connector(record.id)
        if not isinstance(connector, Account):
            return Finding(FINE, name, "Has no way to be tested.")
        async with asyncio.timeout(_ASK_S):
            account = await connector.identify()
    except TimeoutError:
        return Finding(PROBLEM, name, f"No answer within {_ASK_S:g} s.", "Is the platform up?")
    except DovetailError as error:
        return Finding(PROBLEM, name, error.message + await _since(world, record), again)
    if record.account and account != record.account:
        detail = f"The credentials are now those of account {account}."
        return Finding(PROBLEM, name, detail, again)
    return Finding(FINE, name, "The credentials are accepted.")


async def _since(world: App, record: Connection) -> str:
    from dovetail.runtime.refusal import load_refusal

    refusal = await world.store.read(lambda tx: load_refusal(tx, record.id))
    if refusal is None:
        return ""
    since = refusal.since.isoformat(timespec="seconds")
    return f" It is refused since {since}; its work waits and goes on by itself."


def _port(settings: Settings, *, is_running: bool) -> Finding:
    name = f"port {settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            detail = f"{settings.host}:{settings.port} cannot be used: {error.strerror}."
            if is_running:
                return Finding(FINE, name, f"{detail} Likely by the process that runs.")
            advice = "Stop what uses it, or run with another --port."
            return Finding(PROBLEM, name, detail, advice)
    return Finding(FINE, name, f"Free on {settings.host}.")
