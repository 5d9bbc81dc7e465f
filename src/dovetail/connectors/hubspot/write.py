"""Writing records in batches: one outcome per record, and a bad one never fails its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.crm_object import KEY_PROPERTY
from dovetail.connectors.hubspot.explanation import row_error
from dovetail.connectors.hubspot.fetch import Item, read_whole
from dovetail.connectors.hubspot.lifecycle import LIFECYCLE, Outcome, move_back
from dovetail.connectors.hubspot.value import properties_of, record_of
from dovetail.errors import (
    ConnectorError,
    OutcomeUnknownError,
    RecordConflictError,
    RecordInvalidError,
)

Call = Literal["upsert", "create", "update", "archive"]
_VERBS = {"upsert": "create", "create": "create", "update": "update", "archive": "delete"}


@dataclass(frozen=True, slots=True)
class RecordWriter:
    """Writes through one connection; `has_key` tells whether our unique property is there."""

    api: Api
    resource: Resource
    has_key: bool

    async def write(self, writes: Sequence[Write], fields: Sequence[str]) -> list[WriteResult]:
        """Return one result per write, in order (see `Records.write`)."""
        groups: dict[Call, list[Write]] = {}
        for write in writes:
            groups.setdefault(self._call_of(write), []).append(write)
        outcomes: dict[str, Outcome] = {}
        for call, group in groups.items():
            outcomes |= await self._apply(call, group, alone=len(groups) == 1)
        outcomes |= await move_back(
            groups.get("update", ()),
            outcomes,
            read=lambda ids: self._read_back(ids, [LIFECYCLE]),
            update=lambda again: self._apply("update", again, alone=False),
        )
        return await self._results(writes, outcomes, fields)

    def _call_of(self, write: Write) -> Call:
        if write.action == "create":
            return "upsert" if self.has_key else "create"
        return "update" if write.action == "update" else "archive"

    async def _apply(self, call: Call, writes: list[Write], *, alone: bool) -> dict[str, Outcome]:
        try:
            return await self._send(call, writes)
        except (RecordInvalidError, RecordConflictError) as error:
            # One bad row failed the whole call, and nothing was written: halve until it stands
            # alone and its neighbours are through.
            if len(writes) == 1:
                return {writes[0].key: error}
            middle = len(writes) // 2
            first = await self._apply(call, writes[:middle], alone=False)
            return first | await self._apply(call, writes[middle:], alone=False)
        except ConnectorError as error:
            if alone:
                raise
            return {write.key: error for write in writes}

    async def _send(self, call: Call, writes: Sequence[Write]) -> dict[str, Outcome]:
        operation = f"{_VERBS[call]} {self.resource.name}"
        reply = await self.api.request(
            "POST",
            f"{self.resource.path}/batch/{call}",
            operation=operation,
            json={"inputs": [_input(self.resource, call, write) for write in writes]},
            # A create without our key is the only call that would do more the second time.
            repeatable=call != "create",
            expects=() if call == "archive" else ("results",),
        )
        if call == "archive":
            return {write.key: {"id": write.id or ""} for write in writes}
        outcomes: dict[str, Outcome] = {}
        names = {name: write.key for write in writes for name in _names(self.resource, write)}
        for error in reply.json.get("errors") or []:
            context = error.get("context") or {}
            told = [*(context.get("objectWriteTraceId") or []), *(context.get("ids") or [])]
            for key in {names[name] for name in told if name in names}:
                outcomes[key] = row_error(error, operation)
        for item in reply.json["results"]:
            outcomes |= {
                names[name]: item for name in _answers(self.resource, item) if name in names
            }
        for write in writes:
            if write.key not in outcomes:
                outcomes[write.key] = OutcomeUnknownError(
                    f"HubSpot did not say what became of one record when it had to "
                    f"{operation}. Look before writing again.",
                    platform="hubspot",
                    operation=operation,
                )
        return outcomes

    async def _results(
        self, writes: Sequence[Write], outcomes: dict[str, Outcome], fields: Sequence[str]
    ) -> list[WriteResult]:
        partial = [
            str(item["id"])
            for write in writes
            if write.action != "delete"
            and isinstance(item := outcomes[write.key], dict)
            and not set(fields) <= set(item.get("properties") or {})
        ]
        whole = await self._read_back(partial, fields)
        return [
            _result(self.resource, write, outcomes[write.key], whole, fields) for write in writes
        ]

    async def _read_back(self, ids: list[str], fields: Sequence[str]) -> dict[str, Item]:
        if not ids:
            return {}
        try:
            return await read_whole(self.api, self.resource, ids, fields)
        except ConnectorError:
            # The writes are done and must be reported as done; the reply's own properties serve.
            return {}


def _input(resource: Resource, call: Call, write: Write) -> dict[str, Any]:
    if call == "archive":
        return {"id": write.id}
    # The trace id makes HubSpot answer 207 with one error per row instead of failing the call.
    told = {"properties": properties_of(resource, write.fields), "objectWriteTraceId": write.key}
    if call == "upsert":
        return {"idProperty": KEY_PROPERTY, "id": write.key, **told}
    return told if call == "create" else {"id": write.id, **told}


def _names(resource: Resource, write: Write) -> list[str]:
    """Return what HubSpot may call a row: our trace id, the record's id, or its unique key."""
    if write.id is not None:
        return [write.id, write.key]
    text = _unique(resource, write.fields)
    return [text, write.key] if text else [write.key]


def _answers(resource: Resource, item: Item) -> list[str]:
    properties = item.get("properties") or {}
    told = (item.get("objectWriteTraceId"), properties.get(KEY_PROPERTY), item["id"])
    # The surest name alone: a record's e-mail may be that of another row's.
    sure = [str(name) for name in told if name]
    return sure if len(sure) > 1 else [*sure, _unique(resource, properties)]


def _unique(resource: Resource, values: Mapping[str, Any]) -> str:
    """Return the natural key where the platform keeps it unique, as it spells it."""
    name = resource.key_field if resource.key_is_unique else None
    return str(values.get(name) or "").strip().lower() if name else ""


def _result(
    resource: Resource,
    write: Write,
    outcome: Outcome,
    whole: dict[str, Item],
    fields: Sequence[str],
) -> WriteResult:
    if isinstance(outcome, ConnectorError):
        return WriteResult(key=write.key, id=write.id, error=outcome)
    id = str(outcome["id"])
    if write.action == "delete":
        return WriteResult(key=write.key, id=id)
    created = write.action == "create" and bool(outcome.get("new", True))
    record = record_of(resource, whole.get(id, outcome), fields)
    return WriteResult(key=write.key, id=id, created=created, record=record)
