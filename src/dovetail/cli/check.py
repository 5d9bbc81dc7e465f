"""``dovetail check``: what a program means, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, ProgramFile, command, new_app
from dovetail.cli.database import opened
from dovetail.cli.screen import FAILED, OK, Screen
from dovetail.core import json

if TYPE_CHECKING:
    from dovetail.app.load import Program
    from dovetail.connector_sdk.base import Connector
    from dovetail.runtime.handler import HandlerSpec
    from dovetail.runtime.open_runs import OpenRunsReport
    from dovetail.runtime.schedule import Schedule

app = new_app()

_TICKS = 3


@app.command()
@command
async def check(
    screen: Screen,
    file: ProgramFile,
    open_runs: Annotated[
        bool,
        typer.Option("--open-runs", help="Show which open runs this code cannot go on with."),
    ] = False,
    database: Database = None,
) -> int:
    """
    Show what a program declares, or what is wrong with it.

    Needs no database and no platform. A wrong declaration ends with exit code 2 and lists each
    problem: where it is, what is allowed there, and the closest spelling.

    With --open-runs, looks at a database instead, before new code is deployed: which runs have a
    handler or recorded steps that this code does not have. The database is brought to this
    version's schema, as by every command: use a copy. Ends with exit code 1 when there are any.
    """
    if open_runs:
        return await _check_open_runs(screen, file, database)
    from dovetail.app.load import load_program
    from dovetail.service.declaration.explanation import explain

    program = load_program(file)
    used = _used_connectors(program)
    known = _held(used)
    sections = {
        service.name: explain(service, connectors=known, references=_references(used))
        for service in program.services
    }
    if screen.json:
        screen.document(
            {
                "file": str(file),
                "services": [
                    {"name": name, "sections": [one.to_record() for one in found]}
                    for name, found in sections.items()
                ],
                "handlers": [_handler_record(spec) for spec in program.handlers],
                "schedules": [_schedule_record(item) for item in program.schedules],
            }
        )
        return OK
    for found in sections.values():
        for section in found:
            screen.text(section.title, style="bold")
            for line in section.lines:
                screen.text(line, indent=2)
            if section.columns:
                screen.table(section.columns, section.rows)
            else:
                screen.text()
    _show_code(screen, program)
    screen.text(f"{file} is right.", style="green")
    return OK


async def _check_open_runs(screen: Screen, file: Path, database: Path | None) -> int:
    from dovetail.runtime.open_runs import open_runs_report

    async with opened(database, file=file) as world:
        handlers = list(world.runtime.subscriptions.by_name.values())
        report = await world.store.read(lambda tx: open_runs_report(tx, handlers))
    if screen.json:
        screen.document(json.plain(report))
    else:
        _show_open_runs(screen, report)
    return OK if report.is_safe else FAILED


_PROBLEMS = {
    "handler-gone": "its handler is not in this code",
    "step-gone": "steps that it has recorded are not in this code",
    "unknown": "these steps are not written in this code; it may make them as it runs",
}


def _show_open_runs(screen: Screen, report: OpenRunsReport) -> None:
    if report.found:
        screen.table(
            ("Run", "Handler", "Problem", "Steps"),
            [
                (one.id, one.handler, _PROBLEMS[one.problem], "\n".join(one.names))
                for one in report.found
            ],
            title="Open runs",
        )
    screen.text(
        f"{report.checked} open, {len(report.found)} to look at. Only names are compared: a step "
        "that kept its name and takes other arguments is found when the run goes on.",
        style=None if report.found else "green",
    )


def _show_code(screen: Screen, program: Program) -> None:
    ticks = {item.event_type for item in program.schedules}
    handlers = [spec for spec in program.handlers if not ticks & set(spec.patterns)]
    if handlers:
        screen.table(
            ("Handler", "Events", "When it fails"),
            [(one.name, ", ".join(one.patterns), _retry_text(one)) for one in handlers],
            title="Handlers",
        )
    if program.schedules:
        screen.table(
            ("Handler", "When", "Next (UTC)"),
            [
                (one.name, one.timetable, "\n".join(f"{at:%a %d %b %H:%M:%S}" for at in _next(one)))
                for one in program.schedules
            ],
            title="Schedules",
        )


def _used_connectors(program: Program) -> Mapping[str, type[Connector]]:
    from dovetail.connector_sdk.registry import connector_class, platforms

    used = {name for service in program.services for name in service.platform_names}
    return {name: connector_class(name) for name in platforms() if name in used}


def _held(connectors: Mapping[str, type[Connector]]) -> Mapping[str, list[str]]:
    from dovetail.connector_sdk.base import Owners
    from dovetail.connector_sdk.spec import OWNERS

    return {
        name: [resource.name for resource in one.resources]
        + ([OWNERS] if issubclass(one, Owners) else [])
        for name, one in connectors.items()
    }


def _references(
    connectors: Mapping[str, type[Connector]],
) -> Mapping[tuple[str, str], Mapping[str, tuple[str, str]]]:
    return {
        (name, resource.name): {
            theirs: (one.field, one.resource) for theirs, one in resource.references.items()
        }
        for name, connector in connectors.items()
        for resource in connector.resources
    }


def _retry_text(spec: HandlerSpec) -> str:
    retry = spec.retry
    if retry.tries == 1:
        return "kept as a dead letter at once"
    return f"up to {retry.tries} tries, then kept as a dead letter"


def _handler_record(spec: HandlerSpec) -> dict[str, Any]:
    retry = spec.retry
    return {
        "name": spec.name,
        "events": list(spec.patterns),
        "retry": {"attempts": retry.tries, "base_s": retry.base_s, "max_s": retry.max_s},
    }


def _schedule_record(item: Schedule) -> dict[str, Any]:
    return {
        "handler": item.name,
        "when": str(item.timetable),
        "next": [at.isoformat() for at in _next(item)],
    }


def _next(item: Schedule) -> list[datetime]:
    found = [item.timetable.next_after(datetime.now(UTC))]
    while len(found) < _TICKS:
        found.append(item.timetable.next_after(found[-1]))
    return found
