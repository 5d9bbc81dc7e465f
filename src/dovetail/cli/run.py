"""``dovetail run``: the program, until it is told to stop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, ProgramFile, command, new_app
from dovetail.cli.database import settings_for
from dovetail.cli.screen import OK, Screen
from dovetail.cli.stop import until_signalled

if TYPE_CHECKING:
    from dovetail.app.app import App
    from dovetail.sync.status import SyncStatus

app = new_app()

_LOOK_EVERY_S = 0.5
_LEVELS = ("debug", "info", "warning", "error")


def _level(given: str | None) -> str | None:
    if given is not None and given.lower() not in _LEVELS:
        raise typer.BadParameter(f"{given!r} is none of {', '.join(_LEVELS)}.")
    return given.lower() if given else None


@app.command()
@command
async def run(
    screen: Screen,
    file: ProgramFile,
    host: Annotated[
        str | None, typer.Option(help="Where webhooks are received. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The same; 0 takes a free one. [default: 8787]"),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="What platforms call, if a proxy or tunnel is before it."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(callback=_level, help=f"{', '.join(_LEVELS)}. [default: info]")
    ] = None,
    database: Database = None,
) -> int:
    """
    Run a program: its sync, webhooks, handlers and schedules.

    SIGINT or SIGTERM lets running work finish and ends with exit code 0; a second one ends at
    once. Connections that are made meanwhile are taken over.
    """
    from dovetail.app.app import App
    from dovetail.core.log import configure_logging

    settings = settings_for(
        database, host=host, port=port, public_url=public_url, log_level=log_level
    )
    configure_logging(settings.log_level, json_lines=screen.json)
    world = App.load(file, settings=settings)
    async with until_signalled(lambda: screen.note("Stopping; again to stop at once.")) as stop:
        starting = asyncio.create_task(world.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return OK
        await starting
        try:
            await _announce(screen, world)
            watching = asyncio.create_task(_watch(screen, world, settings.log_level))
            # A fault while showing progress is shown, not the end of the program.
            watching.add_done_callback(_tell_fault)
            await stopping
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        finally:
            await world.stop()
    if screen.json:
        screen.document({"status": "stopped"})
    return OK


async def _announce(screen: Screen, world: App) -> None:
    known = {one.id: one for one in await world.connections.list() if one.status == "active"}
    webhooks = {id: world.webhook_url(one.platform or "", id) for id, one in known.items()}
    if screen.json:
        screen.document(
            {
                "status": "running",
                "port": world.port,
                "webhooks": webhooks,
                "services": [service.name for service in world.program.services],
                "notes": world.notes,
            }
        )
        return
    for service in world.program.services:
        screen.text(service.name, style="bold")
    rows = [(one.platform, one.account, one.business_id, webhooks[id]) for id, one in known.items()]
    if rows:
        screen.table(("Platform", "Account", "Business", "Webhooks go to"), rows)
    elif world.program.services:
        screen.text("No platform is connected: `dovetail connect PLATFORM`, in another terminal.")
    names = [spec.name for spec in world.program.handlers]
    if names:
        screen.text(f"Handlers: {', '.join(names)}.")
    for note in world.notes:
        screen.warn(note)
    screen.note(f"Receiving on {world.settings.host}:{world.port}. Ctrl-C stops.")


async def _watch(screen: Screen, world: App, log_level: str) -> None:
    """Show each first sync until it has settled; there may be more when platforms connect."""
    from dovetail.app.memory import settle_memory
    from dovetail.cli.progress import SyncProgress

    settle_memory()  # all that it needs to run is loaded
    shown: set[tuple[str, str]] = set()
    while True:
        fresh = {(r.at.connection_id, r.entity.name) for r in world.sync.plans.spokes()} - shown
        if fresh:
            shown |= fresh
            status = await world.sync.status()
            if not status.is_settled:
                with SyncProgress(screen, log_level=log_level, json_log=screen.json) as progress:
                    status = await _settled(world, progress)
                _tell(status)
        await asyncio.sleep(_LOOK_EVERY_S)


async def _settled(world: App, progress: Any) -> SyncStatus:
    while not (status := await world.sync.status()).is_settled:
        progress.show(status)
        await asyncio.sleep(_LOOK_EVERY_S)
    progress.show(status)
    return status


def _tell(status: SyncStatus) -> None:
    import structlog

    from dovetail.cli.progress import records_of

    log = structlog.get_logger("dovetail.run")
    for spoke in status.spokes:
        log.info(
            "first_sync_done",
            platform=spoke.platform,
            entity=spoke.entity,
            records=records_of(spoke),
            linked=spoke.counts.get("linked", 0),
            created=spoke.counts.get("made", 0),
            updated=spoke.counts.get("written", 0),
        )


def _tell_fault(task: asyncio.Task[None]) -> None:
    import structlog

    with suppress(asyncio.CancelledError):
        error = task.exception()
        if error is not None:
            structlog.get_logger("dovetail.run").warning("progress_not_shown", error=str(error))
