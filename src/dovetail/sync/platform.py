"""How the engine reaches a platform: a connection's connector and its resource."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakKeyDictionary

from dovetail.connector_sdk.base import Connector, Records
from dovetail.connector_sdk.owner import records_of
from dovetail.connector_sdk.spec import Resource
from dovetail.errors import UnsupportedCapabilityError
from dovetail.sync.plan import SpokePlan


class ConnectionSource(Protocol):
    """Where connectors come from; the app knows."""

    async def connector(self, connection_id: str) -> Connector:
        """
        Return the connector that speaks for a connection.

        Raises:
            MissingCredentialError: The connection has no usable credentials.
        """
        ...

    async def renewed(self, connection_id: str) -> Connector:
        """As `connector`, with the credentials as they are stored now."""
        ...


class Platforms:
    """Connectors by spoke, each made ready for writing once."""

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source
        # By connector: one with renewed credentials is another, and is made ready anew.
        self._prepared: WeakKeyDictionary[Records, set[str]] = WeakKeyDictionary()

    async def records(self, spoke: SpokePlan) -> tuple[Records, Resource]:
        """
        Return what reads and writes a spoke's records.

        Raises:
            UnsupportedCapabilityError: The platform does not hold records.
        """
        connector = await self._source.connector(spoke.connection_id)
        resource = connector.resource(spoke.resource)
        records = records_of(connector, resource)
        if records is None:
            raise UnsupportedCapabilityError(
                f"{connector.title} holds no records that can be synced; take it out of the "
                "integration's platforms.",
                platform=connector.platform,
            )
        return records, resource

    async def writable(self, spoke: SpokePlan) -> tuple[Records, Resource]:
        """As `records`, made ready for writing."""
        records, resource = await self.records(spoke)
        done = self._prepared.setdefault(records, set())
        if resource.name not in done:
            await records.prepare(resource)
            done.add(resource.name)
        return records, resource
