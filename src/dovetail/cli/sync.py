"""``dovetail sync``: one full pass, watched to its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, ProgramFile, command, new_app
from dovetail.cli.database import settings_for
from dovetail.cli.screen import FAILED, INTERRUPTED, OK, Screen
from dovetail.cli.stop import until_signalled
from dovetail.errors import ConfigError

if TYPE_CHECKING:
    from dovetail.app.app import App
    from dovetail.runtime.store.port import Tx
    from dovetail.sync.status import SpokeStatus, SyncStatus

app = new_app()

_LOOK_EVERY_S = 0.25
_LABELS = {
    "records": "records held",
    "linked": "linked to one that was there",
    "created": "created there",
    "updated": "updated there",
    "decided": "conflicts decided",
    "pending": "conflicts waiting for a person",
    "ambiguous": "doubles found there",
    "echoes": "echoes suppressed",
    "errors": "records refused",
    "api_calls": "API calls",
}


@app.command()
@command
async def sync(
    screen: Screen,
    file: ProgramFile,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long to wait for the end.")
    ] = 600.0,
    database: Database = None,
) -> int:
    """
    Bring every connected platform into agreement once, then end.

    Where another process runs the program on this database, that process is asked to do it.
    The table counts what this pass did: records made at and changed on the platform, conflicts
    decided by policy and waiting for a person. Ends with exit code 1 when the time is up, when
    a record could not be synced or when work was given up (`dovetail dead list`).
    """
    from dovetail.app.app import App
    from dovetail.app.lock import DatabaseLock

    settings = settings_for(database)
    world = App.load(file, settings=settings)
    holder = DatabaseLock(settings.database).holder
    async with until_signalled() as stop:
        try:
            if holder is None:
                await world.start(serve=False, schedules=False)
            else:
                screen.note(f"Process {holder} runs on this database; it is asked to sync.")
                await world.open()
                await world.refresh(schedules=False)
            return await _pass(screen, world, timeout, stop, is_ours=holder is None)
        finally:
            await world.stop()


async def _pass(
    screen: Screen, world: App, timeout_s: float, stop: asyncio.Event, *, is_ours: bool
) -> int:
    from dovetail.cli.progress import SyncProgress

    if not world.sync.plans.all:
        reasons = " ".join(world.notes) or "No service in it declares entities to sync."
        raise ConfigError(f"There is nothing to sync. {reasons}")
    for note in world.notes:
        screen.warn(note)
    before = await world.sync.status()
    decided_before = await _decided(world, before)
    dead_before = await _dead(world)
    await world.sync.request_poll()
    with SyncProgress(screen, log_level="warning") as progress:
        finished = await _watch(world, progress, timeout_s, stop)
    after = await world.sync.status()
    dead = max(await _dead(world) - dead_before, 0)
    calls = await _calls(world) if is_ours else {}
    decided = await _decided(world, after) - decided_before
    rows = [_row(spoke, before, calls, decided) for spoke in after.spokes]
    is_complete = finished and all(spoke.is_caught_up for spoke in after.spokes)
    if screen.json:
        screen.document(
            {"finished": is_complete, "platforms": rows, "dead": dead, "notes": world.notes}
        )
    else:
        _show(screen, rows)
    if stop.is_set():
        return INTERRUPTED
    if not is_complete:
        screen.warn(
            f"Not finished within {timeout_s:g} s. What is left stays in the database and goes on "
            "with the next run; `dovetail doctor` says what stands in the way."
        )
    for spoke in after.spokes:
        if spoke.refused:
            screen.warn(
                f"{spoke.platform} {spoke.entity}: {spoke.pending_pushes} wait. {spoke.refused}"
            )
        if spoke.waiting_references:
            screen.note(
                f"{spoke.platform} {spoke.entity}: {spoke.waiting_references} references wait for "
                "records that are not linked yet."
            )
    if dead:
        screen.warn(f"{dead} deliveries were given up: `dovetail dead list` shows why.")
    return OK if is_complete and not dead and not any(row["errors"] for row in rows) else FAILED


async def _watch(world: App, progress: Any, timeout_s: float, stop: asyncio.Event) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while loop.time() < deadline and not stop.is_set():
        progress.show(await world.sync.status())
        if not await world.store.read(lambda tx: _waiting(tx, world)):
            return not any(spoke.refused for spoke in (await world.sync.status()).spokes)
        try:
            await asyncio.wait_for(stop.wait(), _LOOK_EVERY_S)
        except TimeoutError:
            continue
    return False


def _waiting(tx: Any, world: App) -> int:
    """
    Return how many deliveries of the sync are not finished, those of the future included.

    What was put off until credentials are renewed is not waited for.
    """
    import sqlalchemy as sa

    from dovetail.app.request import RESOLVE
    from dovetail.runtime.store.schema import OPEN, SCHEDULED, deliveries

    names = [RESOLVE, *(spec.name for spec in world.sync.handlers())]
    counted = sa.select(sa.func.count()).where(
        sa.or_(
            deliveries.c.status == OPEN,
            sa.and_(deliveries.c.status == SCHEDULED, deliveries.c.error.is_(None)),
        ),
        deliveries.c.handler.in_(names),
    )
    return int(tx.scalar(counted))


async def _dead(world: App) -> int:
    from dovetail.runtime.history import count_by_status

    return (await world.store.read(count_by_status)).get("dead", 0)


async def _decided(world: App, status: SyncStatus) -> Counter[tuple[str, str]]:
    """Count the conflicts that a policy has decided: (connection id, entity) -> how many."""
    from dovetail.model.integration import SyncConflict
    from dovetail.runtime.record_table import count_records
    from dovetail.sync.conflict import RESOLVED

    def count(tx: Tx) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for spoke in status.spokes:
            where = {
                "integration_id": spoke.integration_id,
                "platform": spoke.platform,
                "entity_type": spoke.entity,
                "status": RESOLVED,
            }
            found[_key(spoke)] = count_records(tx, SyncConflict, spoke.business_id, where)
        return found

    return await world.store.read(count)


async def _calls(world: App) -> dict[str, int]:
    found: dict[str, int] = {}
    for route in world.sync.plans.spokes():
        connector = await world.connector(route.at.connection_id)
        found[route.at.connection_id] = connector.api.calls.total()
    return found


def _key(spoke: SpokeStatus) -> tuple[str, str]:
    return (spoke.connection_id, spoke.entity)


def _row(
    spoke: SpokeStatus,
    before: SyncStatus,
    calls: Mapping[str, int],
    decided: Counter[tuple[str, str]],
) -> dict[str, Any]:
    from dovetail.cli.progress import records_of

    known = {_key(one): one.counts for one in before.spokes}
    earlier: dict[str, int] = known.get(_key(spoke), {})

    def count(name: str) -> int:
        return spoke.counts.get(name, 0) - earlier.get(name, 0)

    return {
        "platform": spoke.platform,
        "entity": spoke.entity,
        "business_id": spoke.business_id,
        "connection_id": spoke.connection_id,
        "records": records_of(spoke),
        "linked": count("linked"),
        "created": count("made"),
        "updated": count("written"),
        "decided": decided[_key(spoke)],
        "pending": spoke.pending_conflicts,
        "ambiguous": count("ambiguous"),
        "echoes": count("echoes"),
        "errors": count("errors"),
        "api_calls": calls.get(spoke.connection_id),
    }


def _show(screen: Screen, rows: list[dict[str, Any]]) -> None:
    # One column a platform: the rows are many and have long names, the platforms are few.
    heads = [f"{row['platform']} {row['entity']}" for row in rows]
    screen.table(
        ("", *heads),
        [(label, *(row[name] for row in rows)) for name, label in _LABELS.items()],
        right=heads,
    )
