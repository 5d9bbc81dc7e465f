"""How large a database is, table by table, and how much of it is free."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from dovetail.errors import StoreError
from dovetail.runtime.store.port import Tx


@dataclass(frozen=True, slots=True)
class TableSize:
    """Rows of a table and bytes of it with its indexes; None where SQLite cannot tell."""

    name: str
    rows: int
    size: int | None


@dataclass(frozen=True, slots=True)
class DatabaseSize:
    """
    A database file: its bytes, those of pages in it that hold nothing, and its tables.

    `gives_back`: free pages can be given back to the disk while it is in use.
    """

    size: int
    free: int
    gives_back: bool
    tables: list[TableSize]


_BYTES = sa.text(
    "SELECT master.tbl_name AS name, sum(stat.pgsize) AS size FROM dbstat AS stat"
    " JOIN sqlite_master AS master ON master.name = stat.name"
    " WHERE stat.aggregate = 1 GROUP BY master.tbl_name"
)
_NAMES = sa.text("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")


def read_size(tx: Tx) -> DatabaseSize:
    """Return the sizes, the largest table first; reads the whole file."""
    sizes = _sizes(tx)
    tables = [
        TableSize(row.name, _count(tx, row.name), sizes.get(row.name)) for row in tx.rows(_NAMES)
    ]
    page = _pragma(tx, "page_size")
    return DatabaseSize(
        size=_pragma(tx, "page_count") * page,
        free=_pragma(tx, "freelist_count") * page,
        gives_back=_pragma(tx, "auto_vacuum") > 0,
        tables=sorted(tables, key=lambda one: (-(one.size or 0), -one.rows, one.name)),
    )


def _sizes(tx: Tx) -> dict[str, int]:
    try:
        return {row.name: int(row.size) for row in tx.rows(_BYTES)}
    except (sa.exc.OperationalError, StoreError):
        return {}  # this SQLite was built without dbstat


def _count(tx: Tx, name: str) -> int:
    return int(tx.scalar(sa.select(sa.func.count()).select_from(sa.table(name))))


def _pragma(tx: Tx, name: str) -> int:
    return int(tx.scalar(sa.text(f"PRAGMA {name}")))
