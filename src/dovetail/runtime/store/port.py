"""
The Store port: state. Work is a function of a transaction; an adapter decides where it runs.

Everything above speaks SQLAlchemy Core to a `Tx`; what differs between databases (upsert, JSON
paths, number allocation) is asked of the Tx, so that no other module knows which database it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Executable,
    Row,
    Table,
    literal_column,
    select,
    update,
)

if TYPE_CHECKING:
    from sqlalchemy.dialects.sqlite import Insert

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - the item type of a batched operation

S = TypeVar("S", bound=Executable)

Params = dict[str, Any] | Sequence[dict[str, Any]] | None


def once_per_database(build: Callable[[Tx], S]) -> Callable[[Tx], S]:
    """
    Have a statement that depends on the kind of database built once for each kind.

    To build one, and to find out that it is the one of before, costs more than to run it. What
    changes from call to call must be bind parameters.
    """
    built: dict[type[Tx], S] = {}

    @wraps(build)
    def get(tx: Tx) -> S:
        found = built.get(type(tx))
        if found is None:
            found = built[type(tx)] = build(tx)
        return found

    return get


def upsert(table: Table, *names: str) -> Callable[[Tx], Executable]:
    """Return what writes a row, or the columns of these *names* where its key is there already."""
    key = [column.name for column in table.primary_key]

    def build(tx: Tx) -> Executable:
        fresh = tx.insert(table)
        new = {name: fresh.excluded[name] for name in names}
        return fresh.on_conflict_do_update(index_elements=key, set_=new)

    return once_per_database(build)


class RowStatement:
    """
    A statement that is run for many rows, again and again; an adapter compiles it once.

    Args:
        statement: An INSERT, or an UPDATE or DELETE with bind parameters only.
        names: The parameters, which every row has; whole numbers, texts and bytes.
    """

    __slots__ = ("names", "statement")

    def __init__(self, statement: Executable, *names: str) -> None:
        self.statement = statement
        self.names = names


class Tx(ABC):
    """
    One transaction. Lives on the store's executor; never keep it, never await in it.

    Work given to `Store.write` may run more than once (when a neighbour in its group fails), so
    it must depend on the database and its own arguments only.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._after_commit: list[Callable[[], None]] = []

    def run(self, statement: Executable, params: Params = None) -> int:
        """Execute and return the number of rows touched; a list of params executes once each."""
        if isinstance(params, list) and not params:
            return 0
        return self._connection.execute(statement, params).rowcount

    def run_rows(self, statement: RowStatement, rows: Sequence[dict[str, Any]]) -> None:
        """Execute the statement once for each row; the cheapest way for a statement of a module."""
        if rows:
            self._connection.execute(statement.statement, rows)

    def set_many(self, key: Column[int], keys: Sequence[int], values: dict[str, Any]) -> None:
        """Give the rows of these keys the same values: whole numbers, texts and bytes."""
        for start in range(0, len(keys), 500):
            chosen = key.in_(keys[start : start + 500])
            self.run(update(key.table).where(chosen).values(**values))

    def known(self, column: Column[str], values: Sequence[str]) -> set[str]:
        """Return which of the values the column holds already."""
        found: set[str] = set()
        for start in range(0, len(values), 500):
            chosen = select(column).where(column.in_(values[start : start + 500]))
            found.update(row[0] for row in self.rows(chosen))
        return found

    def has_rows(self, table: Table) -> bool:
        """Return whether the table has any row at all."""
        return self.first(select(literal_column("1")).select_from(table).limit(1)) is not None

    def rows(self, statement: Executable, params: Params = None) -> Sequence[Row[Any]]:
        """Execute and return every row."""
        return self._connection.execute(statement, params).all()

    def first(self, statement: Executable, params: Params = None) -> Row[Any] | None:
        """Execute and return the first row, or None."""
        return self._connection.execute(statement, params).first()

    def scalar(self, statement: Executable, params: Params = None) -> Any:
        """Execute and return the first column of the first row, or None."""
        return self._connection.execute(statement, params).scalar()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have *call* run on the event loop once this is durable, in the order of commits."""
        self._after_commit.append(call)

    @abstractmethod
    def insert(self, table: Table) -> Insert:
        """Return an INSERT that supports ``on_conflict_do_nothing`` and ``…_do_update``."""

    @abstractmethod
    def allocate(self, name: str, count: int) -> int:
        """Reserve *count* numbers of a sequence, growing by one, and return the first."""

    @abstractmethod
    def json_field(self, field: str, kind: str, *, checked: bool = False) -> ColumnElement[Any]:
        """
        Return ``records.data ->> field`` as an SQL value; null when the field is null or missing.

        Compare it with values of its own type: str, int and float, bool, Decimal (exactly).

        Args:
            field: A declared field name, or ``custom.NAME``.
            kind: ``text``, ``number``, ``boolean`` or ``decimal``: how the value compares;
                ``any`` only tells null from the rest.
            checked: Read values of another kind as null (for fields that hold anything).
        """

    @abstractmethod
    def json_list_has(self, field: str, value: Any) -> ColumnElement[bool]:
        """Return whether a field is a JSON list that holds *value* (text, number or boolean)."""

    @abstractmethod
    def ensure_index(self, name: str, entity: str, fields: Sequence[str]) -> None:
        """Create the index on the fields of one entity unless it is there."""


class Store(Protocol):
    """State, with group commit. One contract suite holds every adapter to it."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write to it, so that changes must be looked for."""
        ...

    async def open(self) -> None:
        """
        Connect.

        Raises:
            EnvironmentInUseError: The database cannot be opened or written; says why.
        """
        ...

    async def close(self) -> None:
        """Finish accepted work and disconnect."""
        ...

    async def write(self, work: Callable[[Tx], T]) -> T:
        """
        Run *work* in a transaction and return its result once it is durable.

        Works that arrive together share one commit; one that raises is rolled back alone and its
        error is raised here.

        Raises:
            StoreError: The database refused, and `facts["refusal"]` says why (locked, full,
                read-only); or it refused this work's own statement. Nothing was written.
        """
        ...

    async def write_each(self, operation: Callable[[Tx, list[I]], list[T]], item: I) -> T:
        """
        As `write`, for one item of a batched operation.

        Items of one operation that arrive together are handed over in one list (in order, one
        result each); when the list fails, its items are tried in smaller lists, down to one each.
        """
        ...

    async def read(self, query: Callable[[Tx], T]) -> T:
        """
        Run *query* on committed state; it must not write.

        Raises:
            StoreError: The database refused.
        """
        ...
