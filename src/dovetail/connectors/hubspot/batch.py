"""One batch of writes: the records first, then what they are associated with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.edge import properties_alone, without_edges
from dovetail.connectors.hubspot.edge_write import EdgeWriter
from dovetail.connectors.hubspot.fetch import read_many
from dovetail.connectors.hubspot.pipeline import Pipelines
from dovetail.connectors.hubspot.property import Properties
from dovetail.connectors.hubspot.write import RecordWriter
from dovetail.errors import ConnectorError, RecordNotFoundError


@dataclass(frozen=True, slots=True)
class Batch:
    """Writes of one resource; `has_key` tells whether our unique property is there."""

    api: Api
    resource: Resource
    pipelines: Pipelines
    properties: Properties
    has_key: bool

    async def write(self, writes: Sequence[Write], fields: Sequence[str]) -> list[WriteResult]:
        """Return one result per write, in order (see `Records.write`)."""
        plain = [properties_alone(write) for write in writes]
        records = [one for one in plain if one.action != "update" or one.fields]
        bare = [one for one in plain if one.action == "update" and not one.fields]
        told = without_edges(fields)
        # All that may be refused without harm comes first: a write that was made is never denied.
        is_telling = any(one.action != "delete" for one in plain)
        is_typed = is_telling and await self.properties.learn(self.resource, told)
        results = {one.key: one for one in await self._read(bare, told)} if bare else {}
        if records:
            writer = RecordWriter(self.api, self.resource, self.has_key)
            whole = await self.pipelines.complete(self.resource, records)
            results |= {one.key: one for one in await writer.write(whole, told)}
        done = [results[write.key] for write in writes]
        if is_typed:
            done = await self._told(done, told)
        return await EdgeWriter(self.api, self.resource).write(writes, done)

    async def _told(
        self, results: Sequence[WriteResult], fields: Sequence[str]
    ) -> list[WriteResult]:
        records = [result.record for result in results]
        try:
            told = await self.properties.tell(self.resource, records, fields)
        except ConnectorError:
            # Somebody added a property since: until it can be asked for, its values stay texts.
            return list(results)
        return [
            msgspec.structs.replace(result, record=record)
            for result, record in zip(results, told, strict=True)
        ]

    async def _read(self, bare: Sequence[Write], fields: Sequence[str]) -> list[WriteResult]:
        """Return the results of updates of which nothing but associations is to be written."""
        ids = [write.id or "" for write in bare]
        found = await read_many(self.api, self.resource, ids, fields)
        return [self._shown(*one) for one in zip(bare, found, strict=True)]

    def _shown(self, write: Write, record: RemoteRecord | None) -> WriteResult:
        if record is not None and record.merged_into is None:
            return WriteResult(key=write.key, id=write.id, record=record)
        error = RecordNotFoundError(
            f"HubSpot has no record {write.id} among {self.resource.name} any more.",
            platform="hubspot",
        )
        return WriteResult(key=write.key, id=write.id, error=error)
