"""
The few statements that every event needs, run on sqlite3 itself.

SQLAlchemy's own work for one row costs more than SQLite's. These statements are compiled once; a
row is then a tuple. The rows of an INSERT go many to a statement: sqlite3 lets go of the
interpreter for each statement that it runs, and gets it back only when the event loop has nothing
to do or has had its turn, which for a row at a time was most of a commit (decision 0012). Errors
are those that SQLAlchemy would raise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as dialect

from dovetail.runtime.store.port import RowStatement

_DIALECT = dialect.dialect(paramstyle="qmark")
# What sqlite3 takes as it is; any other type would need SQLAlchemy to convert its values.
_PLAIN = (sa.Integer, sa.Text, sa.LargeBinary)


# Rows to one INSERT; each number is a statement of its own that sqlite3 keeps.
_TOGETHER = (64, 16, 4)
_PARAMETERS = 999
"""Of one statement; any SQLite takes so many."""


class _Compiled(NamedTuple):
    sql: str
    values: Callable[[dict[str, Any]], tuple[Any, ...]]
    many: dict[int, str]


_compiled: dict[RowStatement, _Compiled] = {}


def run_rows(
    connection: sqlite3.Connection, statement: RowStatement, rows: Sequence[dict[str, Any]]
) -> None:
    """Execute the statement once for each row."""
    found = _compiled.get(statement)
    if found is None:
        found = _compiled[statement] = _compile(statement)
    try:
        left = list(map(found.values, rows))
        for count, sql in found.many.items():
            while len(left) >= count:
                connection.execute(sql, list(chain.from_iterable(left[:count])))
                del left[:count]
        if left:
            connection.executemany(found.sql, left)
    except sqlite3.Error as error:
        raise as_sqlalchemy(found.sql, error) from error


def run_sql(connection: sqlite3.Connection, sql: str, params: Sequence[Any] = ()) -> sqlite3.Cursor:
    """Execute one statement that is written out."""
    try:
        return connection.execute(sql, params)
    except sqlite3.Error as error:
        raise as_sqlalchemy(sql, error) from error


def as_sqlalchemy(sql: str, error: sqlite3.Error) -> Exception:
    """Return the error as SQLAlchemy raises it, so that callers need to know one kind only."""
    return cast(
        Exception,
        sa.exc.DBAPIError.instance(sql, None, error, sqlite3.Error, dialect=_DIALECT),
    )


def _compile(statement: RowStatement) -> _Compiled:
    compiled = statement.statement.compile(  # type: ignore[attr-defined]
        dialect=_DIALECT, column_keys=list(statement.names)
    )
    names: list[str] = compiled.positiontup
    odd = [
        name
        for name in names
        if name not in statement.names or not isinstance(compiled.binds[name].type, _PLAIN)
    ]
    if odd:
        raise TypeError(f"not to be given to sqlite3 as they are: {', '.join(odd)}")
    sql, many = str(compiled), {}
    one = f"({', '.join('?' * len(names))})"
    if isinstance(statement.statement, sa.Insert) and sql.endswith(f"VALUES {one}"):
        fitting = (count for count in _TOGETHER if count * len(names) <= _PARAMETERS)
        many = {count: sql + f", {one}" * (count - 1) for count in fitting}
    if len(names) == 1:
        return _Compiled(sql, lambda row: (row[names[0]],), many)
    return _Compiled(sql, itemgetter(*names), many)
