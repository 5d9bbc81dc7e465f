"""``dovetail top``: what a running Dovetail is doing, as it does it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import opened
from dovetail.cli.screen import OK, Screen, make_table
from dovetail.cli.stop import until_signalled

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dovetail.app.allowance import AccountAllowance
    from dovetail.app.app import App
    from dovetail.app.overview import Overview

app = new_app()

_MIB = 1024 * 1024
_ASK_S = 1.0
_STYLES = {"dead": "red", "retrying": "yellow"}


@app.command()
@command
async def top(
    screen: Screen,
    once: Annotated[bool, typer.Option("--once", help="Show one frame and end.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two frames.")] = 2.0,
    database: Database = None,
) -> int:
    """
    Show what runs, waits, fails and is left, until interrupted.

    It reads the database, and asks the process that runs on it what it is doing right now. With
    --json each frame is one line.
    """
    async with opened(database) as world, until_signalled() as stop:
        if once or screen.json or not screen.out.is_terminal:
            while True:
                _show(screen, await _frame(world), world)
                if once or await _ended(stop, interval):
                    return OK
        await _live(screen, world, stop, interval)
    return OK


async def _live(screen: Screen, world: App, stop: asyncio.Event, interval: float) -> None:
    from rich.live import Live

    with Live(console=screen.out, screen=True, auto_refresh=False) as live:
        while True:
            live.update(_drawn(await _frame(world), world), refresh=True)
            if await _ended(stop, interval):
                return


async def _ended(stop: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def _frame(world: App) -> tuple[Overview, dict[str, Any]]:
    """Return the overview, and what is known of the process."""
    from dovetail.app.lock import DatabaseLock
    from dovetail.app.overview import read_overview
    from dovetail.core.clock import to_micros

    lock = DatabaseLock(world.settings.database)
    holder, address = lock.holder, lock.address
    live = await asyncio.to_thread(_ask, address) if address else None
    now = to_micros(world.ports.clock.now())
    running = live["running"] if live else ({} if holder is None else None)
    overview = await world.store.read(lambda tx: read_overview(tx, now, running))
    process = {
        "id": int(holder) if holder and holder.isdigit() else None,
        "address": address,
        "answers": live is not None,
        "faults": live["faults"] if live else [],
    }
    return overview, process


def _ask(address: str) -> dict[str, Any] | None:
    """Ask the process what it is doing; None when it does not answer."""
    import urllib.request

    from dovetail.core import json

    try:
        # The address is the one that the process wrote beside its database.
        with urllib.request.urlopen(f"{address}/now", timeout=_ASK_S) as answer:  # noqa: S310
            found = json.decode(answer.read())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "running" in found else None


def _show(screen: Screen, frame: tuple[Overview, dict[str, Any]], world: App) -> None:
    from dovetail.core import json
    from dovetail.core.clock import from_micros

    overview, process = frame
    if not screen.json:
        screen.out.print(_drawn(frame, world))
        return
    record = json.plain(overview)
    record["at"] = from_micros(overview.at).isoformat()
    for error in record["errors"]:
        error["at"] = from_micros(error["at"]).isoformat()
    record["write_ahead_log_bytes"] = world.store.wal_bytes
    screen.document({**record, "process": process})


def _drawn(frame: tuple[Overview, dict[str, Any]], world: App) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    overview, process = frame
    parts: list[RenderableType] = [Text(_heading(overview, process, world), style="bold")]
    parts += [Text(f"Fault: {one}.", style="bold red") for one in process["faults"]]
    if overview.handlers:
        parts.append(_handlers(overview))
    else:
        parts.append(Text("No handler has had an event yet."))
    if overview.budgets:
        parts.append(_budgets(overview.budgets))
    if overview.errors:
        parts.append(_errors(overview))
    return Group(*parts)


def _heading(overview: Overview, process: dict[str, Any], world: App) -> str:
    from dovetail.core.clock import from_micros

    if process["id"] is None:
        state = "no process runs on it"
    elif process["answers"]:
        state = f"process {process['id']} at {process['address']}"
    else:
        state = f"process {process['id']}, which does not answer"
    sizes = f"{overview.file_bytes / _MIB:.1f} MiB, log {world.store.wal_bytes / _MIB:.1f} MiB"
    moment = from_micros(overview.at).strftime("%H:%M:%S")
    return (
        f"{moment} UTC  {world.settings.database}: {state}\n"
        f"{overview.events_per_minute:.0f} events/min, file {sizes}"
    )


def _handlers(overview: Overview) -> RenderableType:
    heads = ("Handler", "Open", "Running", "Retrying", "Later", "Dead", "Done/min", "Lag")
    rows = [
        (
            one.name,
            one.open or None,
            "?" if one.running is None else one.running or None,
            one.retrying or None,
            one.scheduled or None,
            one.dead or None,
            f"{one.done_per_minute:.0f}",
            span_text(one.lag_s) if one.open else None,
        )
        for one in overview.handlers
    ]
    return make_table(heads, rows, right=heads[1:])


def _budgets(budgets: list[AccountAllowance]) -> RenderableType:
    heads = ("Platform", "Account", "Limit", "Left", "Of", "Paused")
    rows = [
        (
            one.platform,
            one.account,
            one.limit,
            f"{one.left:,}",
            f"{one.size:,}",
            span_text(one.paused_s) if one.paused_s else None,
        )
        for one in budgets
    ]
    return make_table(heads, rows, right=heads[3:])


def _errors(overview: Overview) -> RenderableType:
    rows = [
        (
            span_text((overview.at - one.at) / 1_000_000),
            one.handler,
            one.delivery,
            one.status,
            one.message or one.code,
        )
        for one in overview.errors
    ]
    heads = ("Ago", "Handler", "Delivery", "Is", "Last errors")
    return make_table(heads, rows, right=("Ago", "Delivery"), styles=_STYLES)


def span_text(seconds: float) -> str:
    """Return a stretch of time in one or two units: ``0.4 s``, ``3 min 20 s``, ``2 d 4 h``."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    for size, name, part, small in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {name} {rest // part} {small}"
    return f"{seconds:.0f} s"
