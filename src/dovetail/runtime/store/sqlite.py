"""
SQLite behind the Store port: WAL, ``synchronous=FULL``, one writer with group commit.

Everything that only SQLite understands is in this file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.pool import StaticPool

from dovetail.core import json
from dovetail.core.ports import Ports, StoreExecutor
from dovetail.errors import EnvironmentInUseError, StoreError
from dovetail.runtime.store.group import CommitGroup
from dovetail.runtime.store.port import I, RowStatement, Store, T, Tx
from dovetail.runtime.store.schema import sequences
from dovetail.runtime.store.sqlite_decimal import DecimalKey, decimal_key
from dovetail.runtime.store.sqlite_refusal import store_error
from dovetail.runtime.store.sqlite_rows import run_rows, run_sql
from dovetail.runtime.store.wal import WriteAheadLog, vacuum_step

R = TypeVar("R")

_DECIMAL = "dovetail_decimal"
_JSON_TYPES = {
    "text": "'text'",
    "number": "'integer', 'real'",
    "boolean": "'true', 'false'",
    "decimal": "'text', 'integer', 'real'",
}
_COLUMN_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "text": sa.Text(),
    "number": sa.types.NullType(),  # whole numbers and floats, bound as they are
    "boolean": sa.Boolean(),
    "decimal": DecimalKey(),
    "any": sa.types.NullType(),
}


class SqliteTx(Tx):
    """A transaction on SQLite."""

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__(connection)
        self._raw: Any = connection.connection.dbapi_connection
        self._sequences: dict[str, int] = {}

    def run_rows(self, statement: RowStatement, rows: Sequence[dict[str, Any]]) -> None:
        """Execute on sqlite3 itself."""
        if rows:
            run_rows(self._raw, statement, rows)

    def set_many(self, key: sa.Column[int], keys: Sequence[int], values: dict[str, Any]) -> None:
        """Change all with one statement, the same for any number of them."""
        if not keys:
            return
        changes = ", ".join(f"{name} = ?" for name in values)
        sql = (
            f"UPDATE {key.table.name} SET {changes} "  # noqa: S608 - names of our schema
            f"WHERE {key.name} IN (SELECT value FROM json_each(?))"
        )
        run_sql(self._raw, sql, (*values.values(), json.encode_text(keys)))

    def known(self, column: sa.Column[str], values: Sequence[str]) -> set[str]:
        """Ask for all at once, with a statement that is the same for any number of them."""
        if not values:
            return set()
        sql = (
            f"SELECT {column.name} FROM {column.table.name} "  # noqa: S608 - names of our schema
            f"WHERE {column.name} IN (SELECT value FROM json_each(?))"
        )
        return {row[0] for row in run_sql(self._raw, sql, (json.encode_text(values),))}

    def has_rows(self, table: sa.Table) -> bool:
        """Ask sqlite3 itself: every event asks."""
        sql = f"SELECT 1 FROM {table.name} LIMIT 1"  # noqa: S608 - a name of our schema
        return run_sql(self._raw, sql).fetchone() is not None

    def insert(self, table: sa.Table) -> dialect.Insert:
        """Return SQLite's INSERT."""
        return dialect.insert(table)

    def allocate(self, name: str, count: int) -> int:
        """Reserve numbers; written back once per transaction."""
        first = self._sequences.get(name)
        if first is None:
            found = run_sql(self._raw, _NEXT, (name,)).fetchone()
            first = int(found[0]) if found is not None else 1
        self._sequences[name] = first + count
        return first

    def flush(self) -> None:
        """Write back what `allocate` reserved; called before the commit."""
        for sequence in self._sequences.items():
            run_sql(self._raw, _SAVE_SEQUENCE, sequence)

    def json_field(self, field: str, kind: str, *, checked: bool = False) -> sa.ColumnElement[Any]:
        """Return ``json_extract`` written out, so that an expression index can serve it."""
        sql = _json_sql(field)
        if kind == "decimal":
            sql = f"{_DECIMAL}({sql})"
        if checked:
            sql = f"CASE WHEN {_json_type_sql(field)} IN ({_JSON_TYPES[kind]}) THEN {sql} END"
        return sa.literal_column(sql, type_=_COLUMN_TYPES[kind])

    def json_list_has(self, field: str, value: Any) -> sa.ColumnElement[bool]:
        """Search the list with ``json_each``."""
        kind = "text" if isinstance(value, str) else "number"
        if isinstance(value, bool):
            kind = "boolean"
        sql = (
            f"EXISTS (SELECT 1 FROM json_each(CASE WHEN {_json_type_sql(field)} = 'array' "  # noqa: S608
            f"THEN {_json_sql(field)} END) AS item "
            f"WHERE item.type IN ({_JSON_TYPES[kind]}) AND item.value = "
        )
        clause = sa.text(f"{sql.replace(':', chr(92) + ':')}:wanted)")
        return clause.bindparams(  # type: ignore[return-value]
            sa.bindparam("wanted", value, unique=True)
        )

    def ensure_index(self, name: str, entity: str, fields: Sequence[str]) -> None:
        """Create a partial expression index."""
        # The id at the end gives the usual order; without it the planner would rather walk the
        # primary key, which gives that order too, through every record of the tenant.
        columns = ", ".join(_json_sql(field) for field in fields)
        # Names come from declared classes and are checked; SQLite allows no parameters in DDL.
        if not entity.isidentifier() or not name.isidentifier():
            raise ValueError(f"not an index name: {name!r} on {entity!r}")
        sql = (
            f"CREATE INDEX IF NOT EXISTS {name} ON records (business_id, {columns}, id) "
            f"WHERE entity = '{entity}'"
        ).replace("records.data", "data")
        self._connection.exec_driver_sql(sql)


_NEXT = f"SELECT next FROM {sequences.name} WHERE name = ?"  # noqa: S608 - a name of our schema
_SAVE_SEQUENCE = (
    f"INSERT INTO {sequences.name} (name, next) VALUES (?, ?) "  # noqa: S608 - as above
    "ON CONFLICT (name) DO UPDATE SET next = excluded.next"
)


def _json_sql(field: str) -> str:
    return f"json_extract(records.data, {_json_path(field)})"


def _json_type_sql(field: str) -> str:
    return f"json_type(records.data, {_json_path(field)})"


def _json_path(field: str) -> str:
    """Return the path as an SQL literal: an expression index only serves the same expression."""
    name, _, custom = field.partition(".")
    if not name.isidentifier() or not custom.isprintable() or set(custom) & set("\"'\\"):
        raise ValueError(f"not a field name: {field!r}")
    return f"'$.{name}.\"{custom}\"'" if custom else f"'$.{name}'"


class SqliteStore(Store):
    """
    One SQLite file (or ``:memory:``).

    Args:
        path: The file; created when missing, its folder must exist.
        ports: Where blocking work runs.
        busy_s: How long to wait for another process that holds the database.
        synchronous: SQLite's own setting; FULL makes a commit survive a power cut.
    """

    def __init__(
        self, path: Path | str, ports: Ports, *, busy_s: float = 10.0, synchronous: str = "FULL"
    ) -> None:
        self.path = str(path)
        self._ports = ports
        self._busy_s = busy_s
        self._synchronous = synchronous
        self._writer: sa.Connection | None = None
        self._reader: sa.Connection | None = None
        self._write_executor: StoreExecutor = ports.new_executor("store-write")
        self._read_executor: StoreExecutor = (
            self._write_executor if self.in_memory else ports.new_executor("store-read")
        )
        self._wal = None if self.in_memory else WriteAheadLog(self.path, busy_s)
        self._group = CommitGroup(
            self._write_executor,
            self._transact,
            when_idle=self._when_idle if self._wal is not None else None,
        )
        self._opened = False

    @property
    def in_memory(self) -> bool:
        """Whether the database vanishes with this store."""
        return self.path == ":memory:"

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write to it: any file."""
        return not self.in_memory

    async def open(self) -> None:
        """Open the file in WAL mode."""
        self._writer = await self._write_executor.run(self._connect)
        if self.in_memory:
            self._reader = self._writer
        else:
            self._reader = await self._read_executor.run(self._connect)
        self._group.start()
        self._opened = True

    async def close(self) -> None:
        """Finish accepted work, fold the WAL back into the file, disconnect."""
        self._opened = False
        await self._group.close()
        if self._reader is not None and self._reader is not self._writer:
            await self._read_executor.run(_closer(self._reader))
        if self._writer is not None:
            await self._write_executor.run(_closer(self._writer))
        self._reader = self._writer = None
        self._read_executor.close()
        self._write_executor.close()

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Run *work* with the next commit."""
        result: T = await self._group.submit(work)
        return result

    async def write_each(self, operation: Callable[[Tx, list[I]], list[T]], item: I) -> T:
        """Run the operation with the next commit, together with its likes."""
        result: T = await self._group.submit(operation, item, is_item=True)
        return result

    async def read(self, query: Callable[[Tx], T]) -> T:
        """Run *query* on the reading connection."""
        if not self._opened:
            raise StoreError("The store is closed; nothing was read.")
        reader = self._reader

        def work() -> T:
            assert reader is not None  # noqa: S101 - set by open()
            with self._wal.reading if self._wal is not None else nullcontext():
                try:
                    reader.exec_driver_sql("BEGIN")  # every statement of the query sees one state
                    return query(SqliteTx(reader))
                except sa.exc.OperationalError as error:
                    raise store_error(error, self.path) from error
                finally:
                    _roll_back(reader)  # a read that wrote by mistake leaves nothing behind

        return await self._read_executor.run(work)

    @property
    def commits(self) -> int:
        """How many transactions were committed (fewer than works, when works share one)."""
        return self._group.commits

    @property
    def group(self) -> CommitGroup:
        """The commits of this process, and their numbers."""
        return self._group

    @property
    def wal_bytes(self) -> int:
        """The size of the write-ahead log on the disk."""
        return self._wal.size if self._wal is not None else 0

    async def vacuum(self, pages: int) -> int:
        """
        Give up to *pages* free pages back to the disk; return how many are left.

        Raises:
            StoreError: The database refused.
        """
        writer = self._writer
        assert writer is not None  # noqa: S101 - set by open()

        def work() -> int:
            try:
                return vacuum_step(pages)(writer)
            except (sa.exc.OperationalError, sqlite3.OperationalError) as error:
                raise StoreError(f"The database {self.path} refused: {error}.") from error

        return await self._write_executor.run(work)

    def _when_idle(self) -> None:
        if self._wal is not None and self._writer is not None:
            self._wal.when_idle(self._writer)

    async def migrate(self, upgrade: Callable[[sa.Connection], R]) -> R:
        """
        Run a schema migration in one transaction; after `open`, before any other work.

        Raises:
            StoreError: The database refused; nothing was changed.
        """
        writer = self._writer
        assert writer is not None  # noqa: S101 - set by open()

        def work() -> R:
            try:
                # Taking the write lock first, two processes that start together migrate once.
                writer.exec_driver_sql("BEGIN IMMEDIATE")
                value = upgrade(writer)
                writer.exec_driver_sql("COMMIT")
            except sa.exc.OperationalError as error:
                _roll_back(writer)
                raise store_error(error, self.path) from error
            except BaseException:
                _roll_back(writer)
                raise
            return value

        return await self._write_executor.run(work)

    def _connect(self) -> sa.Connection:
        url = "sqlite://" if self.in_memory else f"sqlite:///{self.path}"
        engine = sa.create_engine(
            url,
            isolation_level="AUTOCOMMIT",  # transactions are begun by hand, see _transact
            poolclass=StaticPool,
            connect_args={"check_same_thread": False, "timeout": self._busy_s},
        )
        connection: sa.Connection | None = None
        try:
            connection = engine.connect()
            for pragma in (
                "auto_vacuum=INCREMENTAL",  # of a new file; of any other it changes nothing
                *(self._wal.pragmas if self._wal is not None else ()),
                f"synchronous={self._synchronous}",
                "foreign_keys=ON",
                "temp_store=MEMORY",
                "cache_size=-32000",
                "mmap_size=268435456",
            ):
                connection.exec_driver_sql(f"PRAGMA {pragma}")
            raw: Any = connection.connection.dbapi_connection
            raw.create_function(_DECIMAL, 1, decimal_key, deterministic=True)
        except sa.exc.DBAPIError as error:
            if connection is not None:
                _closer(connection)()
            raise EnvironmentInUseError(
                f"The database {self.path} cannot be opened: {error.orig}. "
                "Check that its folder exists, that you may write there and that the disk is not "
                "full, or name another file with --database.",
                path=self.path,
            ) from error
        return connection

    def _transact(self, body: Callable[[Tx], T]) -> tuple[T, list[Callable[[], None]]]:
        connection = self._writer
        assert connection is not None  # noqa: S101 - set by open()
        try:
            # IMMEDIATE takes the write lock at once: a read that turns into a write after another
            # process committed would get SQLITE_BUSY without the busy timeout being used.
            tx = SqliteTx(connection)
            run_sql(tx._raw, "BEGIN IMMEDIATE")
            value = body(tx)
            tx.flush()
            run_sql(tx._raw, "COMMIT")
        except sa.exc.OperationalError as error:
            _roll_back(connection)
            raise store_error(error, self.path) from error
        except BaseException:
            _roll_back(connection)
            raise
        if self._wal is not None:
            self._wal.after_commit(connection)
        return value, tx._after_commit


def _roll_back(connection: sa.Connection) -> None:
    raw = connection.connection.dbapi_connection
    if getattr(raw, "in_transaction", False):
        connection.exec_driver_sql("ROLLBACK")


def _closer(connection: sa.Connection) -> Callable[[], None]:
    def close() -> None:
        connection.close()
        connection.engine.dispose()

    return close
