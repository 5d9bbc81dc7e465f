"""``dovetail events``: the log, what became of each event, and giving it to handlers again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import opened
from dovetail.cli.screen import OK, Screen
from dovetail.cli.stop import until_signalled
from dovetail.errors import ConfigError, RecordMissingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovetail.app.app import App
    from dovetail.model.event import Event
    from dovetail.runtime.history import DeliveryView
    from dovetail.runtime.store.port import Tx

app = new_app(help="Look at the event log, and replay events.")

_FOLLOW_EVERY_S = 0.5
_FOLLOW_ROWS = 500

EventId = Annotated[str, typer.Argument(metavar="ID", help="An event's id, or its number.")]


@app.command()
@command
async def tail(
    screen: Screen,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events come.")] = False,
    pattern: Annotated[
        str, typer.Option(help="Which types: contact.created, contact.*, *.failed.")
    ] = "*",
    business: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    database: Database = None,
) -> int:
    """Show the newest events; with --json, one object a line."""
    from dovetail.runtime.history import list_events

    async with opened(database) as world, until_signalled() as stop:
        last = await world.store.read(_last_seq)
        found = await world.store.read(
            lambda tx: list_events(
                tx, pattern=pattern, business_id=business, limit=limit, newest=True
            )
        )
        if not (found or follow or screen.json):
            screen.text("No events.")
        _show_lines(screen, found, heads=True)
        last = max([last, *(event.seq for event in found)])
        while follow and not stop.is_set():
            fresh = await world.store.read(
                lambda tx, after=last: list_events(  # type: ignore[misc]
                    tx, after_seq=after, pattern=pattern, business_id=business, limit=_FOLLOW_ROWS
                )
            )
            _show_lines(screen, fresh)
            last = fresh[-1].seq if fresh else last
            if len(fresh) < _FOLLOW_ROWS:
                try:
                    await asyncio.wait_for(stop.wait(), _FOLLOW_EVERY_S)
                except TimeoutError:
                    continue
    return OK


@app.command()
@command
async def show(screen: Screen, event_id: EventId, database: Database = None) -> None:
    """Show an event, its payload (secrets redacted), and what each handler made of it."""
    from dovetail.runtime.history import deliveries_of

    async with opened(database) as world:
        event = await _event(world, event_id)
        delivered = await world.store.read(lambda tx: deliveries_of(tx, event))
    record = event_record(event, whole=True)
    if screen.json:
        views = [_delivery_record(one) for one in delivered]
        screen.document({"event": record, "deliveries": views})
        return
    payload = record.pop("payload")
    screen.table(("", ""), [(name, value) for name, value in record.items()], title="Event")
    screen.text("Payload", style="bold")
    screen.out.print_json(data=payload)
    screen.text()
    show_deliveries(screen, delivered)


@app.command()
@command
async def replay(
    screen: Screen,
    event_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Events to replay.")],
    handler: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only these, instead of all that had the event."),
    ] = None,
    database: Database = None,
) -> None:
    """Deliver events once more to the handlers that had them; `dovetail run` runs them."""
    async with opened(database) as world:
        log = world.runtime.log
        found = [await _event(world, event_id) for event_id in event_ids]

        def work(tx: Tx) -> list[dict[str, Any]]:
            made: list[dict[str, Any]] = []
            for event in found:
                names = _handlers(tx, event, handler)
                log.redeliver(tx, [event], names)
                made.append({"event": event.id, "type": event.type, "handlers": names})
            return made

        made = await world.store.write(work)
    if screen.json:
        screen.document({"replayed": made})
        return
    for one in made:
        screen.text(f"{one['type']} {one['event']} goes to {', '.join(one['handlers'])} again.")


def event_record(event: Event, *, whole: bool = False) -> dict[str, Any]:
    """Return what is shown of an event, secrets redacted; *whole* with its payload."""
    from dovetail.core.log import redact

    record: dict[str, Any] = {
        "seq": event.seq,
        "id": event.id,
        "type": event.type,
        "key": event.key,
        "business_id": event.business_id,
        "source": event.source,
        "occurred_at": event.occurred_at.isoformat(),
        "caused_by": event.caused_by,
    }
    if whole:
        if event.raw is not None:
            record["raw"] = f"{len(event.raw)} bytes of {event.raw_type or 'unknown type'}"
        record["payload"] = redact(event.payload)
    return record


def show_deliveries(screen: Screen, delivered: Sequence[DeliveryView]) -> None:
    """Show what became of an event."""
    if not delivered:
        screen.text("No handler listened to it.")
        return
    screen.table(
        ("Delivery", "Handler", "Status", "Failed", "Steps", "Error"),
        [
            (
                one.id,
                one.handler,
                one.status,
                one.attempt,
                "\n".join(one.steps),
                (one.error or {}).get("message"),
            )
            for one in delivered
        ],
        title="Deliveries",
        styles={"dead": "red", "done": "green"},
    )


def _show_lines(screen: Screen, found: Sequence[Event], *, heads: bool = False) -> None:
    if screen.json:
        for event in found:
            screen.document(event_record(event, whole=True))
        return
    widths = "{:>7}  {:<23}  {:<24}  {:<9}  {}"
    if heads and found:
        heading = widths.format("Number", "Occurred (UTC)", "Type", "Business", "Key")
        screen.text(heading, style="bold")
    for event in found:
        moment = event.occurred_at.strftime("%Y-%m-%d %H:%M:%S.%f")[:23]
        screen.out.print(
            widths.format(event.seq, moment, event.type, event.business_id, event.key),
            soft_wrap=True,
        )


def _delivery_record(view: DeliveryView) -> dict[str, Any]:
    from dovetail.core import json
    from dovetail.core.clock import from_micros
    from dovetail.core.log import redact

    record: dict[str, Any] = redact(json.plain(view))
    for name in ("due_at", "finished_at"):
        if record[name] is not None:
            record[name] = from_micros(record[name]).isoformat()
    return record


async def _event(world: App, event_id: str) -> Event:
    from dovetail.runtime.history import find_event

    event = await world.store.read(lambda tx: find_event(tx, event_id))
    if event is None:
        raise RecordMissingError(
            f"There is no event {event_id}. `dovetail events tail` shows the newest.", id=event_id
        )
    return event


def _last_seq(tx: Tx) -> int:
    import sqlalchemy as sa

    from dovetail.runtime.store.schema import events

    return int(tx.scalar(sa.select(sa.func.max(events.c.seq))) or 0)


def _handlers(tx: Tx, event: Event, wanted: Sequence[str] | None) -> list[str]:
    """Return who gets the event again; names that no event was ever delivered to are refused."""
    from difflib import get_close_matches

    import sqlalchemy as sa

    from dovetail.runtime.history import deliveries_of
    from dovetail.runtime.store.schema import deliveries

    if not wanted:
        had = list(dict.fromkeys(view.handler for view in deliveries_of(tx, event)))
        if not had:
            raise ConfigError(
                f"No handler has had event {event.id}; name one with --handler.", id=event.id
            )
        return had
    known = [row.handler for row in tx.rows(sa.select(deliveries.c.handler).distinct())]
    for name in wanted:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
            raise ConfigError(f"No event was ever delivered to a handler {name!r}. {hint}")
    return list(dict.fromkeys(wanted))
