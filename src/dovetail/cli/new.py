"""``dovetail new``: begin a project of your own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from dovetail.cli.command import command, new_app
from dovetail.cli.screen import Screen
from dovetail.errors import UsageError

T = TypeVar("T")

app = new_app(help="Begin a project of your own.")

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The platform, as declarations will name it: acme.")
]
Auth = Annotated[
    str,
    typer.Option(
        metavar="WAY", help="How the platform knows its callers: token, oauth2, api-key or basic."
    ),
]
EntityNames = Annotated[
    list[str] | None,
    typer.Option(
        "--entity",
        metavar="ENTITY",
        help="What it holds: contact, company, deal or ticket; may be repeated. Else contact.",
    ),
]
Title = Annotated[
    str | None, typer.Option(help="The platform's own spelling of its name. Else made from NAME.")
]
Folder = Annotated[
    Path | None,
    typer.Option("--dir", metavar="FOLDER", help="Where to write it. Else dovetail-NAME."),
]


@app.callback()
def new() -> None:
    """Begin a project of your own."""


@app.command()
@command
def connector(
    screen: Screen,
    name: Name,
    auth: Auth = "token",
    entity: EntityNames = None,
    title: Title = None,
    folder: Folder = None,
) -> None:
    """
    Write a connector for a platform of your own.

    For a platform that Dovetail does not ship: a project with a connector, a simulator and their
    tests. It works as it is: its tests sync the simulated platform with HubSpot's. What remains
    is to make connector and simulator say what the platform's documentation says.
    """
    from importlib.metadata import version
    from shlex import quote

    from dovetail.cli.scaffold import Project, check_name, write_project
    from dovetail.cli.scaffold_auth import AUTHS
    from dovetail.cli.scaffold_entity import ENTITIES
    from dovetail.connector_sdk.registry import built_in_platforms

    check_name(name, built_in_platforms())
    entities = ENTITIES | {one.plural: one for one in ENTITIES.values()}
    project = Project(
        name=name,
        title=_title(name, title),
        auth=_chosen("--auth", auth, AUTHS),
        entities=tuple(
            dict.fromkeys(_chosen("--entity", one, entities) for one in entity or ["contact"])
        ),
        dovetail_version=version("dovetail"),
    )
    place = folder or Path(project.project)
    written = write_project(project, place)
    if screen.json:
        screen.document({"folder": str(place), "files": [str(path) for path in written]})
        return
    screen.text(f"Wrote a connector for {project.title} into {place}:")
    for path in sorted(written):
        screen.text(str(path.relative_to(place)), indent=2)
    screen.note("Next:")
    steps = (f"cd {quote(str(place))}", "pip install -e . pytest ruff mypy", "pytest")
    for line in (*steps, f"dovetail sandbox {name} hubspot"):
        screen.note(f"  {line}")
    screen.note("README.md there goes on from here.")


def _title(name: str, given: str | None) -> str:
    from dovetail.service.platform_catalog import PLATFORMS

    known = PLATFORMS[name].title if name in PLATFORMS else name.replace("_", " ").title()
    title = known if given is None else given.strip()
    if not title or not title.isprintable() or set(title) & set("\"'\\`$<>{}") or len(title) > 24:
        raise UsageError(
            f"--title {title!r}: take up to 24 letters, without quotes, brackets and backslashes."
        )
    return title


def _chosen(option: str, given: str, known: Mapping[str, T]) -> T:
    if given not in known:
        raise UsageError(f"{option} {given}: there are {', '.join(known)}.")
    return known[given]
