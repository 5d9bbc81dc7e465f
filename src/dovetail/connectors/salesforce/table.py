"""CSV as bulk jobs have it: rows out of results, and rows into an upload."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from dovetail.connectors.salesforce.value import Row
from dovetail.errors import MalformedResponseError

_DECIMALS = frozenset({"double", "currency", "percent"})
_WHOLES = frozenset({"int", "long"})
NULL = "#N/A"
_SPECIAL = re.compile('[,"\\r\\n]')


def rows_in(body: bytes, operation: str, expected: str = "") -> list[dict[str, str]]:
    """
    Return the rows of a CSV by column name, as text; an empty body has none.

    Args:
        body: The CSV.
        operation: What was done, for errors.
        expected: How many rows there are, as a header tells.

    Raises:
        MalformedResponseError: It is no CSV, or was cut off.
    """
    try:
        text = io.StringIO(body.decode("utf-8-sig"), newline="")
        reader = csv.reader(text, strict=True)
        header = next(reader, [])
        rows = [dict(zip(header, cells, strict=True)) for cells in reader if cells]
    except (csv.Error, ValueError) as error:
        raise _unreadable(operation, str(error)) from error
    if expected.isdecimal() and int(expected) != len(rows):
        raise _unreadable(operation, f"{len(rows)} rows instead of {expected}")
    return rows


def typed(row: Mapping[str, str], types: Mapping[str, str]) -> Row:
    """Return a row of a result with the values that JSON has for them: nothing is None."""
    return {name: _value(text, types.get(name, "string")) for name, text in row.items()}


def table_of(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """
    Return rows as the CSV of an upload.

    None clears a field. What a row does not name is an empty cell, which leaves it as it is.
    """
    columns = columns_of(rows)
    lines = [columns]
    for row in rows:
        cells = cells_of(row)
        lines.append([cells.get(column, "") for column in columns])
    return "".join(f"{','.join(map(_quoted, line))}\n" for line in lines).encode()


def columns_of(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the columns of a table of these rows."""
    return list(dict.fromkeys(name for row in rows for name in row))


def cells_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a row as an upload tells them."""
    return {name: _cell(value) for name, value in row.items()}


def size_of(row: Mapping[str, Any]) -> int:
    """Return how many bytes a row takes in an upload, or a little more."""
    return sum(len(cell.encode()) + 3 for cell in cells_of(row).values())


def _value(text: str, kind: str) -> Any:
    if text == "":
        return None
    if kind == "boolean":
        return text.lower() == "true"
    if kind in _DECIMALS:
        return Decimal(text)
    if kind in _WHOLES:
        return int(Decimal(text))
    if kind == "datetime":
        # JSON has the same moment as 2026-03-01T15:04:05.000+0000.
        return f"{text[:-1]}+0000" if text.endswith("Z") else text
    return text


def _quoted(cell: str) -> str:
    # Python's own writer leaves a lone carriage return bare, where it ends a line for Salesforce.
    if cell == cell.strip() and not _SPECIAL.search(cell):
        return cell
    return '"' + cell.replace('"', '""') + '"'


def _cell(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value)


def _unreadable(operation: str, why: str) -> MalformedResponseError:
    return MalformedResponseError(
        f"Salesforce could not {operation}: the CSV of its bulk job cannot be read ({why}). Check "
        "the address of the connection and what stands in between.",
        platform="salesforce",
        operation=operation,
    )
