"""Owners as records, for the engines that read records: made of the role `Owners`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from dovetail.connector_sdk.base import Connector, Owners
from dovetail.connector_sdk.record import Cursor, Owner, Page, RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.core.clock import Clock
from dovetail.errors import UnsupportedCapabilityError


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
        """Refuse: every look reads all of them anyway."""
        del field, values, fields
        self._refuse(resource, "find")

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
