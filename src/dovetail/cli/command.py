"""
What every command has: ``--json``, ``--debug``, and one place where errors become exit codes.

A command is a function of a `Screen` and its own options; it returns an exit code (None is 0), or
a coroutine of one.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer

from dovetail.cli.screen import INTERRUPTED, OK, Screen, exit_code

P = ParamSpec("P")
T = TypeVar("T")
Answer = int | None | Coroutine[Any, Any, int | None]

ProgramFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A Python module, or a YAML or JSON declaration.")
]
Database = Annotated[
    Path | None,
    typer.Option(
        "--database",
        metavar="PATH",
        help="The SQLite file. Else DOVETAIL_DATABASE, else dovetail.db in this folder.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an error happened.")]


def new_app(**options: Any) -> typer.Typer:
    """Return a Typer app as every module of this folder has one: plain, quick help."""
    # Rich help would cost a third of the start-up of every `--help`.
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"max_content_width": 100, "help_option_names": ["--help", "-h"]},
        **options,
    )


def command(function: Callable[..., Answer]) -> Callable[..., None]:
    """Make a command of a function whose first parameter is the screen."""
    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in (("json", Json), ("debug", Debug))
    ]

    @wraps(function)
    def run(*, json: bool, debug: bool, **options: Any) -> None:
        screen = Screen(json=json)
        raise typer.Exit(answer(screen, lambda: function(screen, **options), debug=debug))

    keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*keyword, *shared], return_annotation=None
    )
    return run


def answer(screen: Screen, work: Callable[[], Answer], *, debug: bool = False) -> int:
    """Do the work of a command; return its exit code, whatever happens."""
    try:
        result = work()
        if inspect.iscoroutine(result):
            result = _run(result)
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.note("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if debug:
            screen.err.print("".join(traceback.format_exception(error)), soft_wrap=True)
        screen.error(error)
        return exit_code(error)
    return OK if result is None else int(result)  # type: ignore[arg-type]


def _run(work: Coroutine[Any, Any, int | None]) -> int | None:
    """Run on uvloop where the extra ``dovetail[fast]`` is installed, else on asyncio's own loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
