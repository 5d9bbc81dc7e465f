"""
``platform("hubspot").contacts.upsert(contact)``: platform calls from a handler, each a step.

A call is recorded in its run, goes through the account's budget, and is safe to repeat: a create
that a crash may have made already is looked up before it is made again. Calls that concurrent runs
make of one connection are gathered into its batch calls (`connector_sdk.gathering`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from dovetail.app.connections import Connections
from dovetail.app.plans import mapping_of
from dovetail.connector_sdk.base import Connector, Records
from dovetail.connector_sdk.gathering import Gathering, Target
from dovetail.connector_sdk.lane import Lane, current_lane, lane
from dovetail.connector_sdk.owner import records_of
from dovetail.connector_sdk.record import RemoteRecord, Write
from dovetail.connector_sdk.registry import connector_class
from dovetail.connector_sdk.spec import Capability, Guarantee, Resource
from dovetail.core.clock import from_micros
from dovetail.core.ids import derive_id
from dovetail.errors import (
    MissingCredentialError,
    OutcomeUnknownError,
    RecordConflictError,
    RecordNotFoundError,
    UnsupportedCapabilityError,
    UsageError,
)
from dovetail.model.entity import Entity
from dovetail.model.platform_record import PlatformRecord
from dovetail.runtime.context import Context
from dovetail.runtime.delivery import Delivery
from dovetail.service.declaration import FieldMapping, Service


class PlatformClients:
    """
    Finds the client of a platform for the tenant of a context.

    Args:
        connections: Where connectors come from.
        services: Whose mappings apply.
        began_at: When this process began; what another sent, it sent before.
    """

    def __init__(
        self, connections: Connections, services: Sequence[Service], began_at: datetime
    ) -> None:
        self._connections = connections
        self._services = services
        self.began_at = began_at
        self.gathering = Gathering()
        self._prepared: WeakKeyDictionary[Records, dict[str, asyncio.Task[None]]] = (
            WeakKeyDictionary()
        )

    async def prepare(self, connector: Records, resource: Resource) -> None:
        """Make a connector ready for writing, once for all runs that want to write now."""
        tasks = self._prepared.setdefault(connector, {})
        task = tasks.get(resource.name)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = tasks[resource.name] = asyncio.create_task(connector.prepare(resource))
        # One run that is cancelled must not cancel what the others wait for.
        await asyncio.shield(task)

    def platform(self, name: str, context: Context) -> PlatformClient:
        """Return the client; the connection is looked up with the first call."""
        kind = connector_class(name)
        service = next((one for one in self._services if name in one.platform_names), None)
        return PlatformClient(self, self._connections, service, kind, context)


class PlatformClient:
    """One platform; its resources are attributes: ``hubspot.contacts``."""

    def __init__(
        self,
        clients: PlatformClients,
        connections: Connections,
        service: Service | None,
        kind: type[Connector],
        context: Context,
    ) -> None:
        self.clients = clients
        self._connections = connections
        self._service = service
        self._kind = kind
        self._context = context
        self.name = kind.platform

    def __getattr__(self, name: str) -> ResourceClient:
        if name.startswith("_"):
            raise AttributeError(name)
        resource = self._kind.resource(name)
        pairs = mapping_of(self._service, name, self.name, resource)
        return ResourceClient(self, resource, FieldMapping(dict(pairs)))

    async def connection(self) -> tuple[str, Connector]:
        """
        Return the id of the tenant's newest active connection, and its connector.

        Raises:
            MissingCredentialError: There is none.
        """
        tenant = self._context.unit.business_id
        found = [
            one
            for one in await self._connections.list(tenant)
            if one.platform == self.name and one.status == "active"
        ]
        if not found:
            raise MissingCredentialError(
                f"{self._kind.title} is not connected for {tenant!r}. Run "
                f"`dovetail connect {self.name} --business {tenant}`.",
                platform=self.name,
            )
        return found[-1].id, await self._connections.connector(found[-1].id)

    @property
    def context(self) -> Context:
        """Where the calls are made from."""
        return self._context


class ResourceClient:
    """One kind of record on one platform. Every call is a step of the run."""

    def __init__(self, client: PlatformClient, resource: Resource, mapping: FieldMapping) -> None:
        self._client = client
        self._resource = resource
        self._mapping = mapping

    async def create(self, record: Entity | Mapping[str, Any]) -> PlatformRecord:
        """
        Create a record from an entity (mapped) or from the platform's own fields.

        Raises:
            RecordConflictError: The platform has one with this key already (see `upsert`).
            RecordInvalidError: The platform refused the values; `fields` says which and why.
        """
        return await self._write("create", None, self._outbound(record))

    async def update(self, id: str, record: Entity | Mapping[str, Any]) -> PlatformRecord:
        """Change a record: the mapped fields of an entity, or the platform's fields given."""
        return await self._write("update", id, self._outbound(record))

    async def upsert(self, record: Entity | Mapping[str, Any]) -> PlatformRecord:
        """
        Update the record that has the natural key, or create one; twice leaves one record.

        A record without a value for the key cannot be recognised over there and is created.

        Raises:
            UsageError: The resource has no natural key.
        """
        fields = self._outbound(record)
        key_field = self._resource.key_field
        if key_field is None:
            raise UsageError(
                f"{self._client.name} {self._resource.name} have no natural key to upsert by; "
                "use create or update(id, …)."
            )
        key = fields.get(key_field)
        if not key:
            return await self._write("create", None, fields)
        existing = await self._find(key_field, str(key))
        if existing is not None:
            return await self._write("update", existing.id, fields)
        try:
            return await self._write("create", None, fields)
        except RecordConflictError as conflict:
            if conflict.existing_id is None:
                raise
            return await self._write("update", conflict.existing_id, fields)

    async def get(self, id: str) -> PlatformRecord:
        """
        Return a record.

        Raises:
            RecordNotFoundError: It is gone.
        """
        found: PlatformRecord | None = await self._step("get", self._read_one, id)
        if found is None:
            raise RecordNotFoundError(
                f"{self._client.name} has no {self._resource.name} {id}.",
                platform=self._client.name,
            )
        return found

    async def find(self, **equal: str) -> PlatformRecord | None:
        """Return the first record with a value in one field, by our name: ``find(email=…)``."""
        if len(equal) != 1:
            raise UsageError("find() takes one field, such as find(email='ada@example.com').")
        name, value = next(iter(equal.items()))
        external = next((theirs for theirs, ours in self._mapping.items() if ours == name), name)
        return await self._find(external, value)

    async def delete(self, id: str) -> None:
        """Delete a record; one that is gone already is no error."""
        try:
            await self._step("delete", self._send, "delete", id, {})
        except RecordNotFoundError:
            return

    async def changes(self, since: datetime | None = None) -> AsyncIterator[PlatformRecord]:
        """
        Yield records that changed since a moment, oldest change first; all of them without one.

        Very many may come in any order, where a platform tells them by a bulk job of its own.

        Records within the platform's consistency lag before *since* are yielded again, because a
        change may become visible late: treat what comes as "look at this", not as "this is new".
        """
        connector = (await self._target()).connector
        lag = timedelta(seconds=self._resource.consistency_lag_s)
        cursor = None if since is None else connector.cursor_at(self._resource, since - lag)
        more = True
        while more:
            with lane(max(Lane.USER, current_lane())):
                page = await connector.read_page(self._resource, tuple(self._mapping), cursor)
            for record in page.records:
                yield self._show(record)
            cursor, more = page.cursor, page.more
            if page.wait_s > 0:
                await self._client.context.clock.sleep(page.wait_s)

    async def _find(self, field: str, value: str) -> PlatformRecord | None:
        found: PlatformRecord | None = await self._step("find", self._find_first, field, value)
        return found

    async def _write(self, action: str, id: str | None, fields: dict[str, Any]) -> PlatformRecord:
        result: PlatformRecord = await self._step(action, self._send, action, id, fields)
        return result

    async def _step(self, operation: str, call: Any, *arguments: Any) -> Any:
        context = self._client.context
        with lane(max(Lane.USER, current_lane())):
            if context.delivery is None:
                return await call(*arguments)
            name = f"{self._client.name}.{self._resource.name}.{operation}"
            return await context.step(name, call, *arguments)

    async def _find_first(self, field: str, value: str) -> PlatformRecord | None:
        target = await self._target(Capability.FIND)
        records = await self._client.clients.gathering.find(target, field, value)
        return self._show(records[0]) if records else None

    async def _read_one(self, id: str) -> PlatformRecord | None:
        target = await self._target(Capability.READ_MANY)
        record = await self._client.clients.gathering.read(target, id)
        return self._show(record) if record is not None else None

    async def _send(self, action: str, id: str | None, fields: dict[str, Any]) -> PlatformRecord:
        target = await self._target(Capability(action))
        await self._client.clients.prepare(target.connector, self._resource)
        key = self._key(action, id, fields)
        write = Write(action=action, key=key, id=id, fields=fields)  # type: ignore[arg-type]
        made = await self._made_before(target, write) if action == "create" else None
        if made is not None:
            return self._show(made, created=True)
        result = await self._client.clients.gathering.write(target, write)
        if result.record is not None:
            return self._show(result.record, created=result.created)
        return PlatformRecord(
            id=result.id or id or "",
            platform=self._client.name,
            fields={},
            values={},
            updated_at=self._client.context.clock.now(),
            deleted=action == "delete",
        )

    async def _made_before(self, target: Target, write: Write) -> RemoteRecord | None:
        """Return what an earlier pass of this run created before its answer was recorded."""
        context, resource = self._client.context, self._resource
        delivery = context.delivery
        if delivery is None or delivery.fresh:
            return None
        look_up = partial(
            target.connector.look_up, resource, [write], delivery.event.occurred_at, target.fields
        )
        (found,) = await look_up()
        if found is not None or not _is_looked_up(target):
            return found
        visible_at = self._lost_at(delivery) + timedelta(seconds=resource.answer_lag_s)
        wait_s = (visible_at - context.clock.now()).total_seconds()
        if wait_s <= 0:
            return None
        # Not seen is not the same as not made, yet.
        await context.clock.sleep(min(wait_s, resource.answer_lag_s))
        (found,) = await look_up()
        return found

    def _lost_at(self, delivery: Delivery) -> datetime:
        """Return when an answer may have been lost at the latest."""
        code = OutcomeUnknownError.code
        unknown = [from_micros(one["at"]) for one in delivery.history if one.get("code") == code]
        # The process before this one may have lost another, of which nothing is written.
        return max([self._client.clients.began_at, *unknown])

    def _key(self, action: str, id: str | None, fields: Mapping[str, Any]) -> str:
        delivery = self._client.context.delivery
        if delivery is None:
            return str(self._client.context.unit.new_id())
        event = delivery.event
        parts = (
            event.id,
            delivery.handler,
            self._client.name,
            msgspec.json.encode(fields).decode(),
            # What one run does to several records is told apart by them within one call.
            *(() if id is None else (action, id)),
        )
        return derive_id(event.occurred_at, *parts)

    async def _target(self, capability: Capability = Capability.READ_CHANGES) -> Target:
        connection_id, connector = await self._client.connection()
        connector.require(self._resource, capability)
        records = records_of(connector, self._resource)
        if records is None:
            raise UnsupportedCapabilityError(f"{self._client.name} holds no records.")
        facts = {
            "platform": self._client.name,
            "tenant": self._client.context.unit.business_id,
            "connection": connection_id,
        }
        return Target(records, self._resource, tuple(self._mapping), facts)

    def _outbound(self, record: Entity | Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(record, Entity):
            return self._mapping.outbound(record)
        return dict(record)

    def _show(self, record: RemoteRecord, *, created: bool = False) -> PlatformRecord:
        return PlatformRecord(
            id=record.id,
            platform=self._client.name,
            fields=record.fields,
            values=self._mapping.inbound(record.fields),
            updated_at=record.modified_at,
            created=created,
            deleted=record.deleted,
        )


def _is_looked_up(target: Target) -> bool:
    """Return whether only looking keeps a create from being made twice."""
    connector = target.connector
    if not isinstance(connector, Connector):
        return True
    return connector.guarantees(target.resource).get("create") is Guarantee.LOOK_UP
