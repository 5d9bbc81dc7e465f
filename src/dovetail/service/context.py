"""
What handlers use: ``db``, ``send``, ``step``, ``idempotent``, ``now``, ``platform``.

Each finds the current handler run (or ``async with app.session():``) by itself. Everything that a
run writes with ``db`` and sends with ``send`` commits together with the run, or not at all.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from dovetail.model.entity import Entity
from dovetail.model.event import EventType
from dovetail.runtime.context import require_context
from dovetail.runtime.once import run_once
from dovetail.runtime.unit import Results, UnitOfWork, increment
from dovetail.service.step import step

E = TypeVar("E", bound=Entity)

__all__ = ["Database", "db", "idempotent", "increment", "now", "platform", "send", "step"]


class Database:
    """
    Records of the current tenant, read and written in the transaction of the current run.

    Conditions are keyword equality, or ``where={"age": {"gte": 18}}`` with the operators in,
    not_in, gt, gte, lt, lte, ne, contains and is_null. An unknown field or operator raises
    UsageError with the closest spelling.
    """

    def __init__(self, *, all_tenants: bool = False) -> None:
        self._all_tenants = all_tenants

    def across_tenants(self) -> Database:
        """Return the same, without the restriction to the tenant of the event."""
        return Database(all_tenants=True)

    def _unit(self) -> UnitOfWork:
        unit = require_context("db").unit
        return unit.across_tenants() if self._all_tenants else unit

    async def create(self, entity: type[E] | E, **fields: Any) -> E:
        """Create a record from a class and fields, or from an instance, and return it."""
        return await self._unit().create(entity, **fields)

    async def get(self, entity: type[E], id: str) -> E:
        """
        Return the record of an id.

        Raises:
            RecordMissingError: There is none (`find_one` returns None instead).
        """
        return await self._unit().get(entity, id)

    async def find_one(
        self,
        entity: type[E],
        *,
        where: dict[str, Any] | None = None,
        order_by: str | Sequence[str] | None = None,
        **equal: Any,
    ) -> E | None:
        """Return the first record that fits, or None."""
        return await self._unit().find_one(entity, where=where, order_by=order_by, **equal)

    async def query(
        self,
        entity: type[E],
        *,
        where: dict[str, Any] | None = None,
        order_by: str | Sequence[str] | None = None,
        limit: int | None = None,
        after: str | None = None,
        **equal: Any,
    ) -> Results[E]:
        """Return the records that fit; `cursor` of the result goes on as *after*."""
        return await self._unit().query(
            entity, where=where, order_by=order_by, limit=limit, after=after, **equal
        )

    async def count(
        self, entity: type[Entity], *, where: dict[str, Any] | None = None, **equal: Any
    ) -> int:
        """Return how many records fit."""
        return await self._unit().count(entity, where=where, **equal)

    async def update(self, entity: type[E] | E, id: str | None = None, **changes: Any) -> E:
        """
        Change fields of a record: ``update(contact, phone="…")`` or ``update(Contact, id, …)``.

        An instance is only updated at the version it was read at; otherwise the run starts over.
        ``increment(n)`` as a value adds to whatever is stored, whoever else adds meanwhile.
        """
        return await self._unit().update(entity, id, **changes)

    async def delete(self, entity: type[Entity] | Entity, id: str | None = None) -> None:
        """Delete a record: ``delete(contact)`` or ``delete(Contact, id)``."""
        await self._unit().delete(entity, id)


db = Database()


async def send(
    event_type: EventType[Any] | str,
    entity: Entity | dict[str, Any] | None = None,
    *,
    key: str | None = None,
    delay: timedelta | str | None = None,
    **fields: Any,
) -> str:
    """
    Send an event when the run commits, and return its id.

    Args:
        event_type: ``Payment.succeeded``, or a name such as ``"invoice.overdue"``.
        entity: The payload as an entity or a dict; or give its fields by keyword.
        key: Events of one key are handled one at a time, in order; the record's id when not given.
        delay: Deliver later: ``"2 days"`` or a timedelta.
        fields: The payload's fields.
    """
    unit = require_context("send").unit
    return await unit.send(event_type, entity, key=key, delay=delay, **fields)


def idempotent(key: str) -> Callable[..., Awaitable[Any]]:
    """
    Make a call happen once per key, in whichever run.

    Use it as ``await idempotent(f"charge:{order.id}")(charge, order)``.

    The same key with the same arguments returns the recorded result; with other arguments it is
    refused. The record is a `SyncOperation`.
    """

    async def once(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await run_once(require_context("idempotent"), key, call, *args, **kwargs)

    return once


def now() -> datetime:
    """Return the current time of the runtime's clock: aware, UTC, virtual under test."""
    return require_context("now").clock.now()


def platform(name: str) -> Any:
    """
    Return the tenant's connection to a platform, ready to be called: ``platform("hubspot")``.

    Its resources are attributes: ``await platform("hubspot").contacts.upsert(contact)``. Every
    call is a step of the run: recorded, budgeted and safe to repeat.

    Raises:
        MissingCredentialError: The tenant has no connection to it.
        UnknownPlatformError: There is no such platform.
    """
    context = require_context("platform")
    if context.services is None or inspect.ismodule(context.services):
        raise RuntimeError("this runtime has no platform connections")
    return context.services.platform(name, context)
