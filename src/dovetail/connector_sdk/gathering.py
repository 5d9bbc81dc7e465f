"""
What concurrent runs ask of one connection, gathered into the platform's batch calls.

::

    row    one run's write, or read of one record, and the answer that the run waits for
    line   writes of one record: each waits for the one before it, whatever that does
    queue  rows that one call can carry: the same action, resource, fields and lane
    call   up to a batch of rows on their way; each gets an outcome of its own

Nothing waits for company: a row leaves at once while no call of its queue is on its way. What comes
meanwhile leaves together, as soon as that call has ended or there is enough for a whole batch.
"""

from __future__ import annotations

import contextvars
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

from dovetail.connector_sdk.base import Records
from dovetail.connector_sdk.gathered_call import Lines, Queue, Row, Send
from dovetail.connector_sdk.lane import Lane, current_lane
from dovetail.connector_sdk.record import RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.core import json


@dataclass(frozen=True, slots=True)
class Target:
    """
    Where a call goes.

    Attributes:
        connector: Speaks for one connection, and so for one tenant.
        resource: What is read or written.
        fields: The platform's names of the fields that are read, or read back.
        facts: What logs and traces say of the connection.
    """

    connector: Records
    resource: Resource
    fields: tuple[str, ...]
    facts: Mapping[str, str]


_Kind = tuple[str, tuple[str, ...], Lane]
"""Action, fields and lane."""


class _Desk:
    """The queues and lines of one resource of one connector."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.queues: dict[_Kind, Queue] = {}


class Gathering:
    """
    Makes the calls of everyone who uses the same connectors.

    A call for one row is made as its run would make it: in its context, its trace and its lane. A
    call for several belongs to none of them: it runs in the context in which this object was made
    and in a trace of its own, linked with theirs.
    """

    def __init__(self) -> None:
        self._context = contextvars.copy_context()
        # A connector whose credentials were renewed is let go; nothing in a desk may hold it.
        self._desks: WeakKeyDictionary[Records, dict[str, _Desk]] = WeakKeyDictionary()

    async def write(self, target: Target, write: Write) -> WriteResult:
        """
        Make one write; writes of one record are made one after the other, in the order asked.

        Raises:
            ConnectorError: What became of this write (see `Records.write`), whatever became of
                those beside it.
        """
        limit = target.resource.write_batch
        queue = self._queue(target, write.action, _write, limit, only_reads=False)
        row = Row(target, write, line=_line_of(target.resource, write))
        return cast(WriteResult, await queue.ask(row))

    async def read(self, target: Target, id: str) -> RemoteRecord | None:
        """Return the record of an id, None when it is gone."""
        queue = self._queue(target, "read", _read, target.resource.read_batch)
        return cast(RemoteRecord | None, await queue.ask(Row(target, id)))

    async def find(self, target: Target, field: str, value: str) -> list[RemoteRecord]:
        """Return the records that have a value in a field."""
        send, limit = partial(_find, field), target.resource.read_batch
        queue = self._queue(target, f"find by {field}", send, limit)
        return cast(list[RemoteRecord], await queue.ask(Row(target, value)))

    def _queue(
        self, target: Target, action: str, send: Send, limit: int, *, only_reads: bool = True
    ) -> Queue:
        desks, name = self._desks.setdefault(target.connector, {}), target.resource.name
        desk = desks.get(name)
        if desk is None:
            desk = desks[name] = _Desk()
        kind = (action, target.fields, current_lane())
        queue = desk.queues.get(kind)
        if queue is None:
            queue = desk.queues[kind] = Queue(
                f"{action} {name}",
                send,
                limit=limit,
                lane=kind[2],
                lines=desk.lines,
                context=self._context,
                only_reads=only_reads,
            )
        return queue


def _line_of(resource: Resource, write: Write) -> str:
    """Return what a write's record is known by: two with one name must not share a call."""
    if write.id is not None:
        return f"id {write.id}"
    natural = str(write.fields.get(resource.key_field or "") or "").strip().lower()
    if natural:
        return f"key {natural}"
    # Were both in one call whose answer is lost, a look-up could not tell which made which.
    return f"fields {json.canonical(write.fields).decode()}"


async def _write(target: Target, writes: list[Write]) -> list[Any]:
    results = await target.connector.write(target.resource, writes, target.fields)
    return [one if one.error is None else one.error for one in results]


async def _read(target: Target, ids: list[str]) -> list[Any]:
    wanted = list(dict.fromkeys(ids))
    found = await target.connector.read_many(target.resource, wanted, target.fields)
    return _shared_out(dict(zip(wanted, found, strict=True)), ids)


async def _find(field: str, target: Target, values: list[str]) -> list[Any]:
    wanted = list(dict.fromkeys(values))
    found = await target.connector.find_many(target.resource, field, wanted, target.fields)
    return _shared_out({value: found.get(value, []) for value in wanted}, values)


def _shared_out(found: dict[str, Any], asked: list[str]) -> list[Any]:
    """Return what was found for each; what several asked for is not one object in all of them."""
    if len(found) == len(asked):
        return [found[one] for one in asked]
    return [copy.deepcopy(found[one]) for one in asked]
