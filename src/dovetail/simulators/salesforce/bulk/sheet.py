"""CSV as Bulk API 2.0 takes and gives it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

DELIMITERS = {
    "BACKQUOTE": "`",
    "CARET": "^",
    "COMMA": ",",
    "PIPE": "|",
    "SEMICOLON": ";",
    "TAB": "\t",
}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
NULL = "#N/A"


class SheetError(Exception):
    """Content that cannot be read as a whole; the message is the job's."""


def read_sheet(text: str, *, delimiter: str, line_ending: str) -> tuple[list[str], list[list[str]]]:
    """
    Return the header and the rows of a job's content.

    Raises:
        SheetError: It is no table, or its lines end otherwise than the job says.
    """
    first = text.partition("\n")[0]
    if "\n" in text and first.endswith("\r") is not (line_ending == "CRLF"):
        raise SheetError(
            "ClientInputError : LineEnding is invalid on user data. "
            f"Current LineEnding setting is {line_ending}"
        )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[delimiter], strict=True)
    try:
        lines = [line for line in reader if line]
    except csv.Error as exc:
        raise SheetError(f"InvalidBatch : Failed to parse CSV: {exc}") from exc
    if not lines:
        raise SheetError("InvalidBatch : Failed to parse CSV header")
    header, *rows = lines
    for row in rows:
        if len(row) != len(header):
            raise SheetError(
                f"InvalidBatch : Number of columns in row ({len(row)}) differs from the header"
                f" ({len(header)})"
            )
    return header, rows


def write_sheet(
    header: Sequence[str], rows: Iterable[Sequence[Any]], *, delimiter: str, line_ending: str = "LF"
) -> str:
    """Return a table with every cell quoted."""
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=DELIMITERS[delimiter],
        lineterminator=LINE_ENDINGS[line_ending],
        quoting=csv.QUOTE_ALL,
    )
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
