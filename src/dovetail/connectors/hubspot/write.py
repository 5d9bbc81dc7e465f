"""Writing contacts in batches: one outcome per record, and a bad one never fails its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.contact import KEY_PROPERTY, MERGED, properties_of, record_of
from dovetail.connectors.hubspot.explanation import row_error
from dovetail.connectors.hubspot.fetch import Item, batch_read, find_many
from dovetail.errors import (
    ConnectorError,
    OutcomeUnknownError,
    RecordConflictError,
    RecordInvalidError,
)

Call = Literal["upsert", "create", "update", "archive"]
Outcome = Item | ConnectorError
_OPERATIONS = {
    "upsert": "create contacts",
    "create": "create contacts",
    "update": "update contacts",
    "archive": "delete contacts",
}


@dataclass(frozen=True, slots=True)
class ContactWriter:
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
        return await self._results(writes, outcomes, fields)

    async def look_up(
        self, creates: Sequence[Write], since: datetime, fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return, per create whose answer was lost, the record that it made."""
        if self.has_key:
            keys = [write.key for write in creates]
            found = await find_many(self.api, self.resource, KEY_PROPERTY, keys, fields)
            return [found[key][0] if key in found else None for key in keys]
        emails = [str(write.fields.get("email") or "") for write in creates]
        by_email = await find_many(self.api, self.resource, "email", emails, fields)
        # An older record with that address is someone else's; our clock may be a little ahead.
        earliest = since - timedelta(seconds=self.resource.consistency_lag_s)
        records = [by_email[email][0] if email in by_email else None for email in emails]
        return [
            record if record and (record.created_at or since) >= earliest else None
            for record in records
        ]

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
        reply = await self.api.request(
            "POST",
            f"{self.resource.path}/batch/{call}",
            operation=_OPERATIONS[call],
            json={"inputs": [_input(call, write) for write in writes]},
            # A create without our key is the only call that would do more the second time.
            repeatable=call != "create",
            expects=() if call == "archive" else ("results",),
        )
        if call == "archive":
            return {write.key: {"id": write.id or ""} for write in writes}
        outcomes: dict[str, Outcome] = {}
        names = {name: write.key for write in writes for name in _names(write)}
        for error in reply.json.get("errors") or []:
            context = error.get("context") or {}
            told = [*(context.get("objectWriteTraceId") or []), *(context.get("ids") or [])]
            for key in {names[name] for name in told if name in names}:
                outcomes[key] = row_error(error, _OPERATIONS[call])
        for item in reply.json["results"]:
            outcomes |= {names[name]: item for name in _answers(item) if name in names}
        for write in writes:
            if write.key not in outcomes:
                outcomes[write.key] = OutcomeUnknownError(
                    f"HubSpot did not say what became of one record when it had to "
                    f"{_OPERATIONS[call]}. Look before writing again.",
                    platform="hubspot",
                    operation=_OPERATIONS[call],
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
        return [_result(write, outcomes[write.key], whole, fields) for write in writes]

    async def _read_back(self, ids: list[str], fields: Sequence[str]) -> dict[str, Item]:
        if not ids:
            return {}
        try:
            items, _ = await batch_read(self.api, self.resource, ids, [*fields, *MERGED])
        except ConnectorError:
            # The writes are done and must be reported as done; the reply's own properties serve.
            return {}
        return {str(item["id"]): item for item in items}


def _input(call: Call, write: Write) -> dict[str, Any]:
    if call == "archive":
        return {"id": write.id}
    # The trace id makes HubSpot answer 207 with one error per row instead of failing the call.
    told = {"properties": properties_of(write.fields), "objectWriteTraceId": write.key}
    if call == "upsert":
        return {"idProperty": KEY_PROPERTY, "id": write.key, **told}
    return told if call == "create" else {"id": write.id, **told}


def _names(write: Write) -> list[str]:
    """Return what HubSpot may call a row: our trace id, the record's id, or its e-mail."""
    if write.id is not None:
        return [write.id, write.key]
    email = str(write.fields.get("email") or "").strip().lower()
    return [email, write.key] if email else [write.key]


def _answers(item: Item) -> list[str]:
    properties = item.get("properties") or {}
    told = (item.get("objectWriteTraceId"), properties.get(KEY_PROPERTY), item["id"])
    # The surest name alone: a record's e-mail may be that of another row's.
    sure = [str(name) for name in told if name]
    return sure if len(sure) > 1 else [*sure, str(properties.get("email") or "").lower()]


def _result(
    write: Write, outcome: Outcome, whole: dict[str, Item], fields: Sequence[str]
) -> WriteResult:
    if isinstance(outcome, ConnectorError):
        return WriteResult(key=write.key, id=write.id, error=outcome)
    id = str(outcome["id"])
    if write.action == "delete":
        return WriteResult(key=write.key, id=id)
    created = write.action == "create" and bool(outcome.get("new", True))
    record = record_of(whole.get(id, outcome), fields)
    return WriteResult(key=write.key, id=id, created=created, record=record)
