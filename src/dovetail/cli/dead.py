"""``dovetail dead``: deliveries that were given up, and bringing them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import opened
from dovetail.cli.screen import Screen
from dovetail.errors import RecordMissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovetail.app.app import App
    from dovetail.runtime.dead_letter import DeadGroup, DeadLetter

app = new_app(help="Look at dead letters, replay or discard them.")

_MOST = 10_000

Handler = Annotated[str | None, typer.Option(metavar="NAME", help="Only of this handler.")]
Business = Annotated[str | None, typer.Option(metavar="ID", help="Only of this tenant.")]
Error = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Only errors like this: a part of `--grouped`.")
]
Since = Annotated[
    str | None, typer.Option(metavar="DURATION", help="Only what died so long ago: `2 hours`.")
]
Ids = Annotated[list[int] | None, typer.Argument(metavar="ID...", help="Dead letters.")]


@app.command(name="list")
@command
async def list_(
    screen: Screen,
    handler: Handler = None,
    business: Business = None,
    error: Error = None,
    since: Since = None,
    grouped: Annotated[
        bool, typer.Option("--grouped", help="One line per handler and likeness of error.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 100,
    database: Database = None,
) -> None:
    """Show dead letters, newest first."""
    from dovetail.runtime.dead_letter import group_dead, list_dead

    async with opened(database) as world:
        if grouped:
            groups = await world.store.read(
                lambda tx: group_dead(tx, handler=handler, business_id=business)
            )
            _show_groups(screen, groups)
            return
        moment = _since(world, since)
        found = await world.store.read(
            lambda tx: list_dead(
                tx,
                handler=handler,
                business_id=business,
                error=error,
                since=moment,
                limit=limit,
            )
        )
    _show_list(screen, found)


@app.command()
@command
async def show(
    screen: Screen,
    id: Annotated[int, typer.Argument(metavar="ID", help="A dead letter.")],
    database: Database = None,
) -> None:
    """Show a dead letter: its event, its error, and every failure that led there."""
    from dovetail.cli.events import event_record

    async with opened(database) as world:
        (found,) = await _named(world, [id])
    if screen.json:
        screen.document(_record(found) | {"event": event_record(found.event, whole=True)})
        return
    event = event_record(found.event, whole=True)
    payload = event.pop("payload")
    screen.table(
        ("", ""),
        [
            ("handler", found.handler),
            ("died at", _moment(found).isoformat()),
            ("tries", found.attempt),
            ("error", f"{found.error.get('code')}: {found.error.get('message')}"),
        ],
        title=f"Dead letter {found.id}",
    )
    screen.table(
        ("", "Earlier failure"),
        [(number, _failure(one)) for number, one in enumerate(found.history, start=1)],
        title="History",
    )
    screen.table(("", ""), list(event.items()), title="Event")
    screen.text("Payload", style="bold")
    screen.out.print_json(data=payload)


@app.command()
@command
async def replay(
    screen: Screen,
    ids: Ids = None,
    every: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    handler: Handler = None,
    business: Business = None,
    error: Error = None,
    since: Since = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Run finished steps again, too.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show which, and change nothing.")
    ] = False,
    database: Database = None,
) -> None:
    """
    Give dead letters another life: they go on after their last finished step.

    They are run by `dovetail run`: by the running process, or when the next one starts.
    """
    from dovetail.core.clock import to_micros
    from dovetail.runtime.dead_letter import replay_dead

    async with opened(database) as world:
        chosen = {"handler": handler, "business_id": business, "error": error, "since": since}
        found = await _chosen(world, ids or [], chosen, every=every)
        wanted = [one.id for one in found]
        if not dry_run:
            now = to_micros(world.ports.clock.now())
            wanted = await world.store.write(
                lambda tx: replay_dead(tx, wanted, now, from_start=from_start)
            )
    if screen.json:
        screen.document({"replayed": wanted, "dry_run": dry_run})
    elif dry_run:
        screen.text(f"{len(wanted)} would be replayed: {_listed(wanted)}.")
    else:
        screen.text(f"{len(wanted)} go on: {_listed(wanted)}.")


@app.command()
@command
async def discard(
    screen: Screen,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Dead letters.")],
    database: Database = None,
) -> None:
    """Give dead letters up for good. They stay in the history of their events."""
    from dovetail.runtime.dead_letter import discard_dead

    async with opened(database) as world:
        await _named(world, ids)
        count = await world.store.write(lambda tx: discard_dead(tx, ids))
    if screen.json:
        screen.document({"discarded": count})
    else:
        screen.text(f"{count} discarded.")


async def _chosen(
    world: App, ids: list[int], chosen: dict[str, str | None], *, every: bool
) -> list[DeadLetter]:
    from dovetail.runtime.dead_letter import list_dead

    narrowed = any(value is not None for value in chosen.values())
    if ids and not every and not narrowed:
        return await _named(world, ids)
    if ids or not (every or narrowed):
        raise UsageError("Say which: ids, or --all, or --handler, --business, --error or --since.")
    moment = _since(world, chosen["since"])
    return await world.store.read(
        lambda tx: list_dead(
            tx,
            handler=chosen["handler"],
            business_id=chosen["business_id"],
            error=chosen["error"],
            since=moment,
            limit=_MOST,
        )
    )


def _since(world: App, ago: str | None) -> int | None:
    from dovetail.core.clock import to_micros
    from dovetail.core.duration import parse_duration

    if ago is None:
        return None
    return to_micros(world.ports.clock.now() - parse_duration(ago))


async def _named(world: App, ids: Sequence[int]) -> list[DeadLetter]:
    from dovetail.runtime.dead_letter import list_dead

    found = await world.store.read(lambda tx: list_dead(tx, limit=_MOST))
    by_id = {one.id: one for one in found}
    missing = [str(id) for id in ids if id not in by_id]
    if missing:
        raise RecordMissingError(
            f"There is no dead letter {', '.join(missing)}; nothing was changed. "
            "`dovetail dead list` shows those there are.",
            ids=missing,
        )
    return [by_id[id] for id in ids]


def _show_list(screen: Screen, found: Sequence[DeadLetter]) -> None:
    if screen.json:
        screen.document({"dead": [_record(one) for one in found]})
    elif not found:
        screen.text("There are no dead letters.")
    else:
        screen.table(
            ("ID", "Died (UTC)", "Handler", "Event", "Key", "Tries", "Error"),
            [
                (
                    one.id,
                    _moment(one).strftime("%m-%d %H:%M:%S"),
                    one.handler,
                    one.event.type,
                    one.event.key,
                    one.attempt,
                    _first_line(one),
                )
                for one in found
            ],
            right=("ID", "Tries"),
        )
        screen.note("`dovetail dead show ID` tells all; `dovetail dead replay ID` tries again.")


def _show_groups(screen: Screen, found: Sequence[DeadGroup]) -> None:
    if screen.json:
        screen.document(
            {
                "groups": [
                    {
                        "handler": one.handler,
                        "likeness": one.likeness,
                        "count": one.count,
                        "newest": one.newest,
                    }
                    for one in found
                ]
            }
        )
    elif not found:
        screen.text("There are no dead letters.")
    else:
        screen.table(
            ("Count", "Handler", "Errors like", "Newest"),
            [(one.count, one.handler, _redacted(one.likeness), one.newest) for one in found],
            right=("Count", "Newest"),
        )
        screen.note("`dovetail dead replay --handler NAME --error TEXT --dry-run` shows which.")


def _redacted(text: str) -> str:
    from dovetail.core.log import redact_text

    return redact_text(text)


def _record(one: DeadLetter) -> dict[str, Any]:
    from dovetail.cli.events import event_record
    from dovetail.core.log import redact

    return {
        "id": one.id,
        "handler": one.handler,
        "tries": one.attempt,
        "died_at": _moment(one).isoformat(),
        "error": redact(one.error),
        "history": redact(one.history),
        "event": event_record(one.event),
    }


def _moment(one: DeadLetter) -> Any:
    from dovetail.core.clock import from_micros

    return from_micros(one.died_at)


def _first_line(one: DeadLetter) -> str:
    from dovetail.core.log import redact_text

    return redact_text(str(one.error.get("message") or one.error.get("code") or ""))


def _failure(failure: dict[str, Any]) -> str:
    return f"{failure.get('code', '')}: {failure.get('message', '')}"


def _listed(ids: Sequence[int], most: int = 20) -> str:
    shown = ", ".join(str(id) for id in ids[:most])
    return f"{shown} and {len(ids) - most} more" if len(ids) > most else shown or "none"
