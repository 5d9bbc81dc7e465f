"""``dovetail conflicts``: what the sync leaves to a person, and the person's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import opened
from dovetail.cli.screen import FAILED, OK, Screen
from dovetail.errors import RecordMissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovetail.app.app import App
    from dovetail.model.integration import SyncConflict
    from dovetail.runtime.history import DeliveryView

app = new_app(help="Look at conflicts, and decide those that wait for a person.")

_WAIT_S = 15.0


@app.command(name="list")
@command
async def list_(
    screen: Screen,
    every: Annotated[bool, typer.Option("--all", help="Decided ones, too.")] = False,
    business: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    database: Database = None,
) -> None:
    """Show conflicts, newest first: those that wait for a person, unless told otherwise."""
    from dovetail.model.integration import SyncConflict
    from dovetail.runtime.record_table import select_records
    from dovetail.sync.conflict import PENDING

    where = {} if every else {"status": PENDING}
    async with opened(database) as world:
        found = await world.store.read(
            lambda tx: select_records(
                tx, SyncConflict, business, where=where, order_by="-created_at", limit=limit
            )
        )
    if screen.json:
        screen.document({"conflicts": [_record(one) for one in found]})
    elif not found:
        screen.text("No conflict waits for a person." if not every else "There are no conflicts.")
    else:
        screen.table(
            ("Conflict", "What", "Ours", "Theirs", "Platform", "Status", "Took"),
            [
                (
                    one.id,
                    f"{one.entity_type} {one.field or one.kind}",
                    _short(one, one.local_data),
                    _short(one, one.external_data),
                    f"{one.platform} {one.external_id or ''}",
                    one.status,
                    one.winner,
                )
                for one in found
            ],
        )
        screen.note("`dovetail conflicts resolve ID --take internal|PLATFORM|VALUE` decides one.")


@app.command()
@command
async def resolve(
    screen: Screen,
    id: Annotated[str, typer.Argument(metavar="ID", help="A conflict.")],
    take: Annotated[
        str,
        typer.Option(
            metavar="CHOICE",
            help="Of a field: internal, the platform's name, or the value itself. Of two records "
            "that may be one: separate or ignore.",
        ),
    ],
    database: Database = None,
) -> int:
    """
    Decide a conflict; what is taken is then written to every side.

    A running process does it at once; without one, it is kept for the next `dovetail run`.
    """
    from dovetail.app.request import RESOLVE, resolve_draft

    async with opened(database) as world:
        conflict = await _find(world, id)
        choice, value = _choice(conflict, take)
        draft = resolve_draft(conflict, choice, value, new_id=world.ports.ids.new)
        log = world.runtime.log
        await world.store.write(lambda tx: log.append(tx, [draft]))
        outcome = await _outcome(world, draft.id or "", RESOLVE)
    status = outcome.status if outcome is not None else "kept"
    if screen.json:
        error = outcome.error if outcome is not None else None
        screen.document({"conflict": id, "take": choice, "status": status, "error": error})
    elif status == "done":
        screen.text(f"Conflict {id} is decided: {take}.")
    elif status == "dead":
        reason = ((outcome.error if outcome else None) or {}).get("message")
        screen.warn(f"Conflict {id} could not be decided: {reason}")
    else:
        screen.text(f"Kept: the next `dovetail run` on this database decides {id}: {take}.")
    return FAILED if status == "dead" else OK


async def _find(world: App, id: str) -> SyncConflict:
    from dovetail.model.integration import SyncConflict
    from dovetail.runtime.record_table import select_records
    from dovetail.sync.conflict import PENDING

    found = await world.store.read(
        lambda tx: select_records(tx, SyncConflict, None, where={"id": id}, limit=1)
    )
    if not found:
        raise RecordMissingError(
            f"There is no conflict {id}; `dovetail conflicts list` shows those there are.", id=id
        )
    if found[0].status != PENDING:
        raise UsageError(f"Conflict {id} is {found[0].status}; nothing is left to decide.")
    return found[0]


def _choice(conflict: SyncConflict, take: str) -> tuple[str, Any]:
    """Return what the sync engine is told: its word for the choice, and a value."""
    if conflict.kind == "field":
        return (take, None) if take in ("internal", conflict.platform) else ("value", take)
    if take not in ("separate", "ignore"):
        raise UsageError(
            f"Conflict {conflict.id} is about two records that may be one: take 'separate' to make "
            "a record of its own, or 'ignore' to leave the platform's record alone.",
            id=conflict.id,
        )
    return take, None


async def _outcome(world: App, event_id: str, handler: str) -> DeliveryView | None:
    """Wait for a running process to act; None when there is none, or it takes too long."""
    from dovetail.app.lock import DatabaseLock

    clock = world.ports.clock
    until = clock.monotonic() + _WAIT_S
    lock = DatabaseLock(world.settings.database)
    while lock.holder is not None and clock.monotonic() < until:
        view = await world.store.read(_delivery(event_id, handler))
        if view is not None and view.status in ("done", "dead"):
            return view
        await clock.sleep(0.1)
    return None


def _delivery(event_id: str, handler: str) -> Callable[[Any], DeliveryView | None]:
    from dovetail.runtime.history import deliveries_of, find_event

    def read(tx: Any) -> DeliveryView | None:
        event = find_event(tx, event_id)
        views = deliveries_of(tx, event) if event is not None else []
        return next((view for view in views if view.handler == handler), None)

    return read


def _record(one: SyncConflict) -> dict[str, Any]:
    from dovetail.core import json
    from dovetail.core.log import redact

    record: dict[str, Any] = redact(json.plain(one))
    return record


def _short(one: SyncConflict, data: Any) -> str:
    """Return a value for a cell; of a whole record, what tells a person which one it is."""
    if one.kind == "field" or not isinstance(data, dict):
        return _value(data)
    known = (data.get(name) for name in ("email", "domain", "name", "first_name", "last_name"))
    return _value(next((value for value in known if value), data))


def _value(value: Any) -> str:
    from dovetail.core import json
    from dovetail.core.log import redact

    shown = redact(value)
    return shown if isinstance(shown, str) else json.encode_text(shown)
