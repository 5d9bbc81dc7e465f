"""Owners as records, for the engines that read records: made of the role `Owners`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

import msgspec

from dovetail.connector_sdk.base import Connector, Owners, Records
from dovetail.connector_sdk.record import Cursor, Owner, Page, RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.spec import OWNERS, Resource
from dovetail.core.clock import Clock
from dovetail.errors import UnsupportedCapabilityError


def records_of(connector: Connector, resource: Resource) -> Records | None:
    """
    Return what reads and writes a resource of a connector; None where nothing does.

    It is the same for everyone who asks: calls are gathered by the object they are made of.
    """
    if resource.name == OWNERS and isinstance(connector, Owners):
        if connector.owner_records is None:
            connector.owner_records = OwnerRecords(connector, connector, connector.api.clock)
        return connector.owner_records
    return connector if isinstance(connector, Records) else None


class OwnerRecords:
    """
    The users of a connection's account in the role `Records`; they are read, never written.

    Platforms tell no time of a user's change that could be relied on, and there are few: every
    look reads all of them, in one page.
    """

    def __init__(self, connector: Connector, owners: Owners, clock: Clock) -> None:
        self._connector = connector
        self._owners = owners
        self._clock = clock

    async def prepare(self, resource: Resource) -> None:
        """Do nothing: there is nothing to write."""
        del resource

    def cursor_at(self, resource: Resource, since: datetime) -> Cursor:
        """Return a cursor; whatever *since*, all are read."""
        del resource, since
        return {}

    async def read_page(
        self, resource: Resource, fields: Sequence[str], cursor: Cursor | None
    ) -> Page:
        """Return every user."""
        del resource, cursor
        records = await self._read(fields)
        return Page(records=records, cursor={}, more=False, total=len(records))

    async def read_many(
        self, resource: Resource, ids: Sequence[str], fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return users by id."""
        del resource
        found = {record.id: record for record in await self._read(fields)}
        return [found.get(id) for id in ids]

    async def find_many(
        self, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[RemoteRecord]]:
        """Return value -> the users that have it, e-mail addresses in any case."""
        del resource
        by_value: dict[str, list[RemoteRecord]] = {}
        for record in await self._read([*fields, field]):
            key = str(record.fields.get(field) or "").strip().lower()
            told = {name: record.fields[name] for name in fields if name in record.fields}
            by_value.setdefault(key, []).append(msgspec.structs.replace(record, fields=told))
        keys = {value: value.strip().lower() for value in values}
        return {value: by_value[key] for value, key in keys.items() if key and key in by_value}

    async def write(
        self, resource: Resource, writes: Sequence[Write], fields: Sequence[str]
    ) -> list[WriteResult]:
        """Refuse: users are made by the account's administrators."""
        del writes, fields
        self._refuse(resource, "write")

    async def look_up(
        self, resource: Resource, creates: Sequence[Write], since: datetime, fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Refuse, as `write` does."""
        del creates, since, fields
        self._refuse(resource, "look up")

    async def _read(self, fields: Sequence[str]) -> list[RemoteRecord]:
        read_at = self._clock.now()
        return [_record(owner, fields, read_at) for owner in await self._owners.read_owners()]

    def _refuse(self, resource: Resource, verb: str) -> NoReturn:
        raise UnsupportedCapabilityError(
            f"{self._connector.title} cannot {verb} {resource.name}; read them instead.",
            platform=self._connector.platform,
            resource=resource.name,
        )


def _record(owner: Owner, fields: Sequence[str], read_at: datetime) -> RemoteRecord:
    told = {"email": owner.email, "name": owner.name or None, "active": owner.active}
    return RemoteRecord(
        id=owner.id,
        fields={name: told[name] for name in fields if name in told},
        modified_at=read_at,
    )
