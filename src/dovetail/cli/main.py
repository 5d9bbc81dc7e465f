"""
The ``dovetail`` command.

A subcommand's module is imported when it is asked for, and what it works with when it runs, so
that ``dovetail --help`` is quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
import typer.main
from typer.core import TyperGroup

from dovetail.cli.command import new_app
from dovetail.cli.screen import EXIT_CODES, FAILED, INTERRUPTED, WRONG, Screen
from dovetail.errors import UsageError

COMMANDS = (
    "run",
    "connect",
    "secrets",
    "sync",
    "check",
    "sandbox",
    "new",
    "connectors",
    "top",
    "events",
    "runs",
    "dead",
    "conflicts",
    "backup",
    "doctor",
)
"""In the order in which ``--help`` shows them; each is the module of that name."""

_CODES = ", ".join(f"{code} {text[0].lower()}{text[1:-1]}" for code, text in EXIT_CODES.items())
# What all refusals of arguments derive from: a bad parameter is a usage error is one of these.
_RefusalError: type[BaseException] = typer.BadParameter.__mro__[2]


class _LazyGroup(TyperGroup):
    """Finds commands by the name of their module."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            module = importlib.import_module(f"dovetail.cli.{cmd_name}")
            self.commands[cmd_name] = typer.main.get_command(module.app)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            for name in COMMANDS:  # all of them, so that the closest spelling can be told
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


app = new_app(cls=_LazyGroup, name="dovetail", epilog=f"Exit codes: {_CODES}.")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dovetail {version('dovetail')}")
        raise typer.Exit


@app.callback()
def dovetail(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Integration automation: declare which systems must agree; the runtime keeps it true."""
    del version


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    screen = Screen(json="--json" in given)
    try:
        code = typer.main.get_command(app)(args=given, prog_name="dovetail", standalone_mode=False)
    except _RefusalError as refusal:
        return _refused(screen, refusal)
    except (typer.Abort, KeyboardInterrupt):
        screen.note("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough (`dovetail events tail | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return int(code or 0)


def main() -> NoReturn:
    """Run the command line and end the process."""
    sys.exit(run())


def _refused(screen: Screen, refusal: Any) -> int:
    context = getattr(refusal, "ctx", None)
    path = context.command_path if context is not None else "dovetail"
    screen.error(UsageError(f"{refusal.format_message()} `{path} --help` shows what can be given."))
    return WRONG
