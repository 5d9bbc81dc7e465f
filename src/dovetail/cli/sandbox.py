"""``dovetail sandbox``: simulators of the platforms, over HTTP on this machine."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from dovetail.cli.command import command, new_app
from dovetail.cli.screen import Screen
from dovetail.cli.stop import until_signalled

app = new_app()


@app.command()
@command
async def sandbox(
    screen: Screen,
    platforms: Annotated[
        list[str] | None, typer.Argument(metavar="PLATFORM...", help="All, when none is named.")
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Of the index; the platforms follow on the next ports. 0 takes free ones.",
        ),
    ] = 9400,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    records: Annotated[int, typer.Option(min=0, help="People to put on each platform.")] = 100,
    seed: Annotated[int, typer.Option(help="Which people, credentials and ids.")] = 0,
    load: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE.csv", help="Records to load; may be given more than once."),
    ] = None,
) -> None:
    """
    Serve simulators of platforms, to develop and test against.

    They keep state, check what they are sent as the platform does, send webhooks, and can be
    told to fail. `dovetail connect --sandbox URL` authorises Dovetail with them.
    """

    def show(described: list[dict[str, Any]]) -> None:
        if screen.json:
            screen.document({"platforms": described})
        else:
            _show(screen, described, host, port)

    # By name: the product does not import simulators, this command only starts them.
    kit = importlib.import_module("dovetail.simulator_sdk.sandbox")
    async with until_signalled() as stop:
        await kit.serve_sandbox(
            platforms or (),
            host=host,
            port=port,
            records=records,
            seed=seed,
            load=load or (),
            on_ready=show,
            stop=stop,
        )


def _show(screen: Screen, described: list[dict[str, Any]], host: str, port: int) -> None:
    screen.table(
        ("Platform", "Base URL", "Access token", "Webhook secret"),
        [
            (
                one["platform"],
                one["base_url"],
                one["credentials"].get("access_token", ""),
                one["webhook_secret"],
            )
            for one in described
        ],
        title="Sandbox",
    )
    if port:
        screen.note(f"In another terminal: dovetail connect --sandbox http://{host}:{port}")
    screen.note("--json shows every credential. Ctrl-C ends it; its records are gone then.")
