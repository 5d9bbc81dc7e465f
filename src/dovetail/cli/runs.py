"""``dovetail runs``: each handling of an event, its story, and stopping it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import opened
from dovetail.cli.screen import FAILED, OK, Screen
from dovetail.errors import RecordMissingError

if TYPE_CHECKING:
    from dovetail.runtime.run_view import RunSummary, RunView

app = new_app(help="Look at runs, one by one, and cancel them.")

_STYLES = {
    "dead": "red",
    "cancelled": "yellow",
    "cancelling": "yellow",
    "compensating": "yellow",
    "done": "green",
}
_EVENTS = {
    "failed": "red",
    "given up": "red",
    "step failed": "red",
    "child dead": "red",
    "finished": "green",
}

_LONGEST_KEY = 20
_HEADS = ("ID", "Began (UTC)", "Handler", "Event", "Key", "Status", "Failed", "Steps", "Next")

RunId = Annotated[int, typer.Argument(metavar="ID", help="A run.")]


@app.command(name="list")
@command
async def list_(
    screen: Screen,
    status: Annotated[
        str | None,
        typer.Option(
            help="open, done, delayed, sleeping, waiting, cancelling, compensating, dead, "
            "discarded or cancelled."
        ),
    ] = None,
    handler: Annotated[str | None, typer.Option(metavar="NAME", help="Of this handler.")] = None,
    business: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 30,
    before: Annotated[
        int | None, typer.Option(metavar="ID", help="Older than this run: the next page.")
    ] = None,
    database: Database = None,
) -> None:
    """Show runs, newest first."""
    from dovetail.runtime.runs import list_runs

    async with opened(database) as world:
        found = await world.store.read(
            lambda tx: list_runs(
                tx,
                status=status,
                handler=handler,
                business_id=business,
                limit=limit,
                before=before,
            )
        )
    if screen.json:
        screen.document({"runs": [_record(one) for one in found]})
    elif not found:
        screen.text("There are no such runs.")
    else:
        screen.table(
            _HEADS, [_row(one) for one in found], right=("ID", "Failed", "Steps"), styles=_STYLES
        )
        if len(found) == limit:
            screen.note(f"Older ones: `dovetail runs list --before {found[-1].id}`.")


@app.command()
@command
async def show(screen: Screen, id: RunId, database: Database = None) -> None:
    """Show a run and its story: tries, steps, waits, what it started."""
    from dovetail.runtime.runs import show_run

    async with opened(database) as world:
        view = await world.store.read(lambda tx: show_run(tx, id))
    if view is None:
        raise _missing(id)
    if screen.json:
        screen.document(_whole(view))
    else:
        _show(screen, view)


@app.command()
@command
async def cancel(
    screen: Screen,
    id: RunId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept with the run.")] = "",
    database: Database = None,
) -> int:
    """
    Stop a run at its next step; what it has done is undone where it says how.

    Ends with exit code 1 when the run is over already.
    """
    async with opened(database) as world:
        outcome = await world.runtime.cancel(id, reason)
    if screen.json:
        screen.document({"run": id, "outcome": outcome})
    elif outcome == "over":
        screen.text(f"Run {id} is over already; nothing was changed.")
    elif outcome == "cancelled":
        screen.text(f"Run {id} is cancelled; it had not begun.")
    else:
        screen.text(
            f"Run {id} stops at its next step. `dovetail runs show {id}` tells when it has."
        )
    return FAILED if outcome == "over" else OK


def _row(one: RunSummary) -> tuple[Any, ...]:
    moment = _moment(one.started_at)
    return (
        one.id,
        f"{moment:%m-%d %H:%M:%S}",
        one.handler,
        one.event_type,
        _short(one.event_key),
        one.status,
        one.attempt or None,
        one.steps or None,
        _next(one),
    )


def _short(key: str) -> str:
    # Ids are ordered by time: it is the end that tells two of a list apart.
    return key if len(key) <= _LONGEST_KEY else f"{key[:8]}…{key[-9:]}"


def _next(one: RunSummary) -> str:
    if one.finished_at is not None:
        return ""
    parts = [f"on {one.waits_for}"] if one.waits_for else []
    if one.due_at is not None and one.status != "open":
        parts.append(f"at {_moment(one.due_at):%m-%d %H:%M:%S}")
    elif one.due_at is not None and one.attempt:
        parts.append(f"tries again at {_moment(one.due_at):%H:%M:%S}")
    return ", ".join(parts)


def _show(screen: Screen, view: RunView) -> None:
    from dovetail.core.log import redact_text

    one = view.summary
    facts: list[tuple[str, Any]] = [
        ("handler", one.handler),
        ("business", one.business_id),
        ("event", f"{one.event_type} {one.event_id}"),
        ("key", one.event_key),
        ("status", one.status),
        ("failed tries", one.attempt),
        ("next", _next(one)),
        ("started by", _parent(view)),
        ("reason", view.reason),
    ]
    if view.error:
        message = redact_text(str(view.error.get("message", "")))
        facts.append(("error", f"{view.error.get('code')}: {message}"))
    screen.table(
        ("", ""), [fact for fact in facts if fact[1] not in (None, "", 0)], title=f"Run {one.id}"
    )
    start = one.started_at
    screen.table(
        ("When (UTC)", "After", "What", ""),
        [
            (
                f"{_moment(entry.at):%m-%d %H:%M:%S.%f}"[:-3],
                _after(entry.at - start),
                entry.what,
                redact_text(entry.detail),
            )
            for entry in view.timeline
        ],
        right=("After",),
        title="Story",
        styles=_EVENTS,
    )
    if view.waits:
        rows = [(wait.event_type, wait.where or None, _until(wait.until)) for wait in view.waits]
        screen.table(("Event", "Where", "Until"), rows, title="Waits for")
    if view.children:
        screen.table(
            ("Event", "Run", "Handler", "Status"),
            [
                (child.event_type, child.run_id, child.handler, child.status)
                for child in view.children
            ],
            title="Started",
            styles=_STYLES,
        )


def _parent(view: RunView) -> str:
    if view.parent is None:
        return ""
    handler = f" ({view.parent.handler})" if view.parent.handler else ""
    return f"run {view.parent.run_id}{handler}"


def _after(micros: int) -> str:
    from dovetail.cli.top import span_text

    return f"{micros / 1000:.0f} ms" if micros < 1_000_000 else span_text(micros / 1_000_000)


def _until(moment: int | None) -> str:
    return "for ever" if moment is None else f"{_moment(moment):%Y-%m-%d %H:%M:%S}"


def _record(one: RunSummary) -> dict[str, Any]:
    from dovetail.core import json

    record: dict[str, Any] = _dated(json.plain(one))
    return record


def _whole(view: RunView) -> dict[str, Any]:
    from dovetail.cli.events import event_record
    from dovetail.core import json
    from dovetail.core.log import redact

    record: dict[str, Any] = redact(
        {
            name: json.plain(getattr(view, name))
            for name in view.__struct_fields__
            if name != "event"
        }
    )
    record["event"] = event_record(view.event)
    dated: dict[str, Any] = _dated(record)
    return dated


def _dated(value: Any) -> Any:
    """Return plain data with its moments as text."""
    if isinstance(value, list):
        return [_dated(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _moment(item).isoformat()
        if isinstance(item, int) and (name.endswith("_at") or name in ("at", "until"))
        else _dated(item)
        for name, item in value.items()
    }


def _moment(micros: int) -> Any:
    from dovetail.core.clock import from_micros

    return from_micros(micros)


def _missing(id: int) -> RecordMissingError:
    return RecordMissingError(
        f"There is no run {id}. `dovetail runs list` shows those there are.", id=id
    )
