"""
Associations, written after the records that they begin at.

The new one is made before the one that it replaces is taken away, so that a call which never came
leaves a record with two, of which the sync knows which it had held, and never with none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.edge import Edge, edges_among
from dovetail.connectors.hubspot.value import chunks
from dovetail.errors import (
    ConnectorError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)

_CREATE_LIMIT = 2000
_ARCHIVE_LIMIT = 100
# A missing right is none of them: it is about no single pair.
_REFUSALS = (RecordInvalidError, RecordNotFoundError, RecordConflictError)

_Pair = tuple[str, str]
"""The ids of both ends."""
_Send = Callable[[list[_Pair]], Awaitable[dict[_Pair, ConnectorError]]]


@dataclass(frozen=True, slots=True)
class EdgeWriter:
    """Writes the associations of one resource."""

    api: Api
    resource: Resource

    async def write(
        self, writes: Sequence[Write], results: Sequence[WriteResult]
    ) -> list[WriteResult]:
        """Return the results of records that were written, with what became of their edges."""
        done = list(results)
        for edge in edges_among(
            self.resource.name, [name for one in writes for name in one.fields]
        ):
            at = {
                place: (write, str(id))
                for place, write in enumerate(writes)
                if edge.field in write.fields
                and done[place].error is None
                and (id := done[place].id) is not None
            }
            errors = await self._set(edge, list(at.values()))
            for place, (write, _) in at.items():
                done[place] = _judged(edge, write, done[place], errors.get(write.key))
        return done

    async def _set(
        self, edge: Edge, wanted: Sequence[tuple[Write, str]]
    ) -> dict[str, ConnectorError]:
        """Make what is wanted, then take away what it replaces; return key -> what went wrong."""
        new = {
            (id, str(write.fields[edge.field])): write.key
            for write, id in wanted
            if write.fields[edge.field]
        }
        made = await self._in_halves(
            list(new), lambda some: self._create(edge, some), _CREATE_LIMIT
        )
        errors = {new[pair]: error for pair, error in made.items()}
        old = {
            (id, before): write.key
            for write, id in wanted
            if (before := write.replaces.get(edge.field)) is not None
            and before != write.fields[edge.field]
            and write.key not in errors
        }
        gone = await self._in_halves(
            list(old), lambda some: self._archive(edge, some), _ARCHIVE_LIMIT
        )
        # What is not there any more need not be taken away.
        return errors | {
            old[pair]: error
            for pair, error in gone.items()
            if not isinstance(error, RecordNotFoundError)
        }

    async def _in_halves(
        self, pairs: list[_Pair], send: _Send, limit: int
    ) -> dict[_Pair, ConnectorError]:
        errors: dict[_Pair, ConnectorError] = {}
        for chunk in chunks(pairs, limit):
            try:
                errors |= await send(chunk)
            except _REFUSALS as error:
                # One bad pair failed the whole call: halve until it stands alone.
                if len(chunk) == 1:
                    errors[chunk[0]] = error
                    continue
                middle = len(chunk) // 2
                for half in (chunk[:middle], chunk[middle:]):
                    errors |= await self._in_halves(half, send, limit)
            except ConnectorError as error:
                errors |= dict.fromkeys(chunk, error)
        return errors

    async def _create(self, edge: Edge, pairs: list[_Pair]) -> dict[_Pair, ConnectorError]:
        kind = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": edge.type_id}
        inputs = [
            {"from": {"id": one}, "to": {"id": other}, "types": [kind]} for one, other in pairs
        ]
        body = await self._post(edge, "create", inputs)
        done = {
            (str(one.get("fromObjectId")), str(one.get("toObjectId")))
            for one in (body or {}).get("results") or []
        }
        errors = (body or {}).get("errors") or []
        return {pair: _pair_error(edge, pair, errors) for pair in pairs if pair not in done}

    async def _archive(self, edge: Edge, pairs: list[_Pair]) -> dict[_Pair, ConnectorError]:
        inputs = [{"from": {"id": one}, "to": [{"id": other}]} for one, other in pairs]
        body = await self._post(edge, "archive", inputs)
        return {
            pair: error
            for pair in pairs
            for one in (body or {}).get("errors") or []
            if isinstance(error := _pair_error(edge, pair, [one]), RecordInvalidError)
        }

    async def _post(self, edge: Edge, call: str, inputs: list[dict[str, Any]]) -> Any:
        reply = await self.api.request(
            "POST",
            f"/crm/v4/associations/{self.resource.name}/{edge.to}/batch/{call}",
            operation=f"{call} the {edge.to} of {self.resource.name}",
            json={"inputs": inputs},
            repeatable=True,
        )
        return reply.json


def _judged(
    edge: Edge, write: Write, result: WriteResult, error: ConnectorError | None
) -> WriteResult:
    if error is None:
        if result.record is None:
            return result
        fields = {**result.record.fields, edge.field: write.fields[edge.field] or None}
        return msgspec.structs.replace(
            result, record=msgspec.structs.replace(result.record, fields=fields)
        )
    if write.action == "create":
        # The record is there: whoever looks it up finds it, and writes the rest.
        error = OutcomeUnknownError(
            f"HubSpot has the new record, and not what it is associated with. {error.message}",
            platform="hubspot",
            operation=error.operation,
        )
    elif isinstance(error, (*_REFUSALS, PermissionDeniedError)):
        error = RecordInvalidError(
            error.message,
            platform="hubspot",
            operation=error.operation,
            fields={edge.field: error.message},
        )
    return WriteResult(key=result.key, id=result.id, error=error)


def _pair_error(edge: Edge, pair: _Pair, errors: Sequence[Mapping[str, Any]]) -> ConnectorError:
    operation = f"associate a record with one of {edge.to}"
    for error in errors:
        told = {str(id) for ids in (error.get("context") or {}).values() for id in ids}
        if told & set(pair) or (not told and len(errors) == 1):
            return RecordInvalidError(
                f"HubSpot refused to {operation}: {error.get('message') or 'no reason given'}",
                platform="hubspot",
                operation=operation,
            )
    return OutcomeUnknownError(
        f"HubSpot did not say what became of one pair when it had to {operation}.",
        platform="hubspot",
        operation=operation,
    )
