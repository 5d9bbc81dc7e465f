"""
What a command prints, and where.

With ``--json`` standard output carries JSON and nothing else; hints, progress and errors for people
go to standard error. Without, results are text and tables on standard output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dovetail.errors import (
    ConfigError,
    ConnectorError,
    DovetailError,
    EnvironmentInUseError,
    StoreError,
    UsageError,
    describe,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

OK, FAILED, WRONG, IN_USE, PLATFORM, INTERRUPTED = 0, 1, 2, 3, 4, 130

EXIT_CODES: Mapping[int, str] = {
    OK: "Done.",
    FAILED: "What was asked for failed, or things do not agree.",
    WRONG: "The command, a declaration or the configuration is wrong.",
    IN_USE: "The environment is in use: database locked, port taken, folder not writable.",
    PLATFORM: "A platform refused, or could not be reached.",
    INTERRUPTED: "Interrupted.",
}

_PLAIN_WIDTH = 100
"""Columns where the output is not a terminal, which has no width of its own."""


def exit_code(error: BaseException) -> int:
    """Return the exit status that an error means."""
    match error:
        case EnvironmentInUseError() | StoreError():
            return IN_USE
        case ConfigError() | UsageError():
            return WRONG
        case ConnectorError():
            return PLATFORM
        case _:
            return FAILED


def make_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    title: str | None = None,
    right: Iterable[str] = (),
    styles: Mapping[str, str] | None = None,
) -> Table:
    """
    Return a table as every command shows them.

    Args:
        columns: Their heads.
        rows: Cells are shown as text; None is shown as nothing.
        title: Above the table.
        right: Heads of the columns of numbers.
        styles: A cell's text -> its style.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    numbers = set(right)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        cells = ["" if cell is None else str(cell) for cell in row]
        table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in cells))
    return table


class Screen:
    """
    Where one command writes.

    Args:
        json: Whether standard output is for a machine.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self._consoles: dict[bool, Console] = {}

    @property
    def out(self) -> Console:
        """The console of results."""
        return self._console(is_error=False)

    @property
    def err(self) -> Console:
        """The console of hints, progress and errors."""
        return self._console(is_error=True)

    def document(self, value: Any) -> None:
        """Write one JSON document, on one line, at once."""
        from dovetail.core import json

        sys.stdout.write(json.encode_text(value) + "\n")
        sys.stdout.flush()

    def text(self, line: str = "", *, style: str | None = None, indent: int = 0) -> None:
        """Write a line of a result."""
        from rich.padding import Padding
        from rich.text import Text

        self.out.print(Padding(Text(line, style=style or ""), (0, 0, 0, indent), expand=False))

    def note(self, line: str) -> None:
        """Write a hint for a person."""
        self.err.print(line, style="dim")

    def warn(self, line: str) -> None:
        """Write what a person should see to."""
        self.err.print(line, style="yellow")

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        title: str | None = None,
        right: Iterable[str] = (),
        styles: Mapping[str, str] | None = None,
    ) -> None:
        """Write a table; see `make_table`."""
        self.out.print(make_table(columns, rows, title=title, right=right, styles=styles))

    def error(self, error: BaseException) -> None:
        """Tell what went wrong: to a person on standard error, to a machine on standard output."""
        from dovetail.core.log import redact, redact_text

        if self.json:
            record = describe(error)
            record.setdefault("facts", {})
            self.document({"error": redact(record)})
        from rich.text import Text

        text = Text.assemble(("Error: ", "bold red"), redact_text(_sentence(error)))
        self.err.print(text, soft_wrap=not self.err.is_terminal)

    def _console(self, *, is_error: bool) -> Console:
        console = self._consoles.get(is_error)
        if console is None:
            from rich.console import Console

            stream = sys.stderr if is_error else sys.stdout
            console = Console(
                file=stream,
                width=None if stream.isatty() else _PLAIN_WIDTH,
                highlight=False,
                markup=False,
                emoji=False,
            )
            self._consoles[is_error] = console
        return console


def _sentence(error: BaseException) -> str:
    if isinstance(error, DovetailError):
        return error.message
    name = type(error).__name__
    return (
        f"{name}: {error}. This is a fault in Dovetail: run the command again with --debug to see "
        "where it happens, and report it."
    )
