"""
The unit of work of a run: what a handler reads, writes and sends, as one transaction.

    db.create / update / delete / send  ->  buffered operations + an overlay that reads see
    the handler returns                 ->  apply(tx), in the transaction that finishes the run
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar, cast

from dovetail.core.clock import Clock
from dovetail.core.duration import parse_duration
from dovetail.errors import RecordConflictError, UsageError
from dovetail.model.entity import Entity
from dovetail.model.event import EventType
from dovetail.runtime.event_payload import event_name, event_payload
from dovetail.runtime.increment import Increment, increment, split_increments
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.overlay import Overlay, Touched
from dovetail.runtime.query import Query, Where, build_query
from dovetail.runtime.query_cursor import write_cursor
from dovetail.runtime.query_match import place_of
from dovetail.runtime.record_document import StoredRecord, entity_name, read_record
from dovetail.runtime.record_table import (
    changed_row,
    check_changes,
    check_creation,
    missing_record,
    new_row,
    stale_record,
)
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.unit_operation import (
    Change,
    Creation,
    Deletion,
    Operation,
    apply_operations,
)

__all__ = ["Increment", "Results", "UnitOfWork", "increment"]

E = TypeVar("E", bound=Entity)


class Results(list[E]):
    """The records that a query found; `cursor` goes on after them, None when there are no more."""

    def __init__(self, found: Iterable[E] = (), cursor: str | None = None) -> None:
        super().__init__(found)
        self.cursor = cursor


class UnitOfWork:
    """
    Records of one tenant, read and written as one transaction.

    Args:
        store: Where records are.
        log: Where sent events go.
        business_id: The tenant.
        source: Who writes: kept with the events.
        caused_by: The id of the event that is being handled.
        clock: Time.
        new_id: Makes the ids of records and events; for a run, the same ones on every try.
    """

    def __init__(
        self,
        *,
        store: Store,
        log: EventLog,
        business_id: str,
        source: str,
        caused_by: str | None,
        clock: Clock,
        new_id: Callable[[], str],
    ) -> None:
        self.business_id = business_id
        self.new_id = new_id
        self._log = log
        self._source = source
        self._caused_by = caused_by
        self._clock = clock
        self._overlay = Overlay(store)
        self._operations: list[Operation] = []
        self._all_tenants = False

    @property
    def dirty(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._operations)

    def across_tenants(self) -> UnitOfWork:
        """Return a view of this unit that reads and writes the records of every tenant."""
        view = copy.copy(self)
        view._all_tenants = True
        return view

    @property
    def operations(self) -> Sequence[Operation]:
        """What is to be committed, in order."""
        return self._operations

    def snapshot(self) -> UnitOfWork:
        """Return this unit as it is now, whatever is added to it later."""
        taken = copy.copy(self)
        taken._operations = list(self._operations)
        return taken

    def apply(self, tx: Tx) -> None:
        """
        Write everything within *tx*; may be called again when that is rolled back.

        Raises:
            VersionConflictError: A record was changed or deleted by someone else meanwhile.
            RecordConflictError: A record of that id was created by someone else meanwhile.
        """
        apply_operations(
            tx,
            self._log,
            self._operations,
            source=self._source,
            caused_by=self._caused_by,
        )

    async def create(self, entity: type[E] | E, /, **fields: Any) -> E:
        """
        Create a record from a class and fields, or from an instance.

        Raises:
            UsageError: A field is unknown, a value does not fit, or the tenant is another one.
            RecordConflictError: This unit has created a record of that id already.
        """
        made = _new_instance(entity, fields)
        cls = type(made)
        made.business_id = self._tenant_of(cls, made.business_id)
        made.id = made.id or self.new_id()
        now = self._clock.now()
        row = new_row(made, now)
        touched = self._overlay.touched(row.key)
        if touched is not None and touched.row is not None:
            raise RecordConflictError(
                f"This run has written a {cls.__name__} {made.id} already. Leave out the id to "
                "get a new one.",
                operation="create",
                existing_id=made.id,
            )
        base = touched.base_version if touched is not None else None
        self._overlay.put(row.key, base, row)
        self._operations.append(Creation(read_record(cls, row), now))
        return read_record(cls, row)

    async def get(self, entity: type[E], id: str) -> E:
        """
        Return the record of an id.

        Raises:
            RecordMissingError: There is none.
        """
        row = await self._overlay.row(entity, self._scope, id)
        if row is None:
            raise missing_record(entity, id)
        return read_record(entity, row)

    async def find_one(
        self,
        entity: type[E],
        /,
        *,
        where: Where | None = None,
        order_by: str | Sequence[str] | None = None,
        **equal: Any,
    ) -> E | None:
        """Return the first record that fits, or None."""
        query = build_query(entity, where, order_by=order_by, limit=1, equal=equal)
        found: list[E] = await self._select(query)
        return found[0] if found else None

    async def query(
        self,
        entity: type[E],
        /,
        *,
        where: Where | None = None,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
        after: str | None = None,
        **equal: Any,
    ) -> Results[E]:
        """Return the records that fit; the `cursor` of a result goes on as *after*."""
        query = build_query(entity, where, order_by=order_by, limit=limit, after=after, equal=equal)
        if query.limit is None:
            return Results(await self._select(query))
        one_more = replace(query, limit=query.limit + 1)
        found: list[E] = await self._select(one_more)
        page = found[: query.limit]
        more = len(found) > query.limit
        return Results(page, write_cursor(query, place_of(query, page[-1])) if more else None)

    async def count(
        self, entity: type[Entity], /, *, where: Where | None = None, **equal: Any
    ) -> int:
        """Return how many records fit."""
        query = build_query(entity, where, equal=equal)
        return await self._overlay.count(query, self._scope)

    async def update(self, entity: type[E] | E, id: str | None = None, /, **changes: Any) -> E:
        """
        Change fields of a record: of an instance, at its version, or of a class and id.

        Raises:
            RecordMissingError: There is no such record.
            VersionConflictError: The instance's record was changed by someone else since.
            UsageError: A field is unknown or a value does not fit.
        """
        cls, business_id, wanted, version = self._address(entity, id, "update")
        if not changes:
            raise UsageError(
                f"db.update({cls.__name__}, …) was given no changes. Name the fields to change, "
                "as in db.update(contact, phone='…'); setting attributes alone stores nothing."
            )
        fields, increments = split_increments(changes)
        fields = check_changes(cls, fields)
        checked = version is not None and bool(fields)
        state = await self._state(cls, business_id, wanted, version if checked else None)
        row = cast(StoredRecord, state.row)
        now = self._clock.now()
        changed = changed_row(read_record(cls, row), row, fields, increments, now) or row
        self._overlay.put(row.key, state.base_version, changed)
        self._operations.append(
            Change(
                entity=cls,
                business_id=row.business_id,
                id=wanted,
                changes=fields,
                increments=increments,
                base_version=state.base_version if checked else None,
                at=now,
            )
        )
        return read_record(cls, changed)

    async def delete(self, entity: type[Entity] | Entity, id: str | None = None, /) -> None:
        """
        Delete a record: an instance, at its version, or by class and id.

        Raises:
            RecordMissingError: There is no such record.
            VersionConflictError: The instance's record was changed by someone else since.
        """
        cls, business_id, wanted, version = self._address(entity, id, "delete")
        state = await self._state(cls, business_id, wanted, version)
        row = cast(StoredRecord, state.row)
        self._overlay.put(row.key, state.base_version, None)
        self._operations.append(
            Deletion(
                entity=cls,
                business_id=row.business_id,
                id=wanted,
                base_version=None if version is None else state.base_version,
                at=self._clock.now(),
            )
        )

    async def send(
        self,
        event_type: EventType[Any] | str,
        entity: Entity | Mapping[str, Any] | None = None,
        /,
        *,
        key: str | None = None,
        delay: timedelta | str | None = None,
        **fields: Any,
    ) -> str:
        """
        Send an event when this unit commits, and return its id.

        Raises:
            UsageError: The payload is not data, or names another tenant.
            ConfigError: The delay is not a duration.
        """
        name = event_name(event_type)
        payload = event_payload(name, entity, fields)
        tenant = self._tenant_of(f"The event {name}", str(payload.get("business_id") or ""))
        if isinstance(event_type, EventType):
            payload["business_id"] = tenant
        now = self._clock.now()
        draft = EventDraft(
            id=self.new_id(),
            type=name,
            payload=payload,
            business_id=tenant,
            source=self._source,
            key=key,
            occurred_at=now,
            due_at=None if delay is None else now + parse_duration(delay),
            caused_by=self._caused_by,
        )
        self._operations.append(draft)
        return cast(str, draft.id)

    @property
    def _scope(self) -> str | None:
        return None if self._all_tenants else self.business_id

    def _tenant_of(self, what: type[Entity] | str, business_id: str) -> str:
        name = what if isinstance(what, str) else f"The {what.__name__}"
        if self._all_tenants:
            if not business_id and not isinstance(what, str):
                raise UsageError(
                    f"{name} needs a business_id: db.across_tenants() belongs to no tenant.",
                    field="business_id",
                )
            return business_id or self.business_id
        if business_id and business_id != self.business_id:
            raise UsageError(
                f"{name} belongs to the tenant {business_id!r} and this run to "
                f"{self.business_id!r}. Use db.across_tenants() to work on other tenants.",
                field="business_id",
            )
        if not self.business_id and not isinstance(what, str):
            raise UsageError(
                f"{name} needs a tenant and this run has none. Use db.across_tenants() and give "
                "the business_id.",
                field="business_id",
            )
        return self.business_id

    def _address(
        self, entity: type[E] | E, id: str | None, what: str
    ) -> tuple[type[E], str | None, str, int | None]:
        """Return class, tenant, id and the version to check (None: whatever it is)."""
        if isinstance(entity, type):
            if not id:
                raise UsageError(
                    f"db.{what}({entity.__name__}, …) needs the id of the record as its second "
                    "argument, or an instance instead of the class."
                )
            return entity, self._scope, id, None
        cls = type(entity)
        if id is not None or not entity.id:
            raise UsageError(
                f"db.{what} was given a {cls.__name__} "
                + ("without an id: create it first." if id is None else "and an id; give one.")
            )
        if entity.business_id or not self._all_tenants:
            business_id: str | None = self._tenant_of(cls, entity.business_id)
        else:
            business_id = None
        return cls, business_id, entity.id, entity.version or None

    async def _state(
        self, entity: type[Entity], business_id: str | None, id: str, version: int | None
    ) -> Touched:
        """Return a record as this unit sees it, checked to be at *version* or past it by us."""
        row = None
        if version is not None and business_id is not None:
            row = self._overlay.known((entity_name(entity), business_id, id), version)
        if row is None:
            row = await self._overlay.row(entity, business_id, id)
        if row is None:
            raise missing_record(entity, id)
        touched = self._overlay.touched(row.key)
        if touched is None:
            touched = Touched(row.version, row)
        first = 1 if touched.base_version is None else touched.base_version
        if version is not None and not first <= version <= row.version:
            raise stale_record(entity, id, version, row.version)
        return touched

    async def _select(self, query: Query) -> list[Any]:
        rows = await self._overlay.select(query, self._scope)
        return [read_record(query.entity, row) for row in rows]


def _new_instance(entity: type[E] | E, fields: dict[str, Any]) -> E:
    if isinstance(entity, type):
        return entity(**check_creation(entity, fields))
    cls = type(entity)
    if fields:
        raise UsageError(
            f"db.create was given a {cls.__name__} and fields; put the fields into the instance."
        )
    known = {name: getattr(entity, name) for name in cls.__struct_fields__}
    known.pop("version")
    return cls(**check_creation(cls, known))
