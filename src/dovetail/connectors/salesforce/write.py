"""Writing contacts in collections: a bad row never fails its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.response import ApiResponse
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce.contact import Row, record_of, untold_record, value_of
from dovetail.connectors.salesforce.explanation import row_error
from dovetail.connectors.salesforce.fetch import data_path, rows_by_id
from dovetail.errors import (
    ConnectorError,
    OutcomeUnknownError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)

Action = Literal["create", "update", "delete"]
Outcome = Row | ConnectorError

# The whole call was refused: its JSON, a field, an id. Nothing of it was written.
_REFUSALS = (RecordInvalidError, RecordConflictError, RecordNotFoundError)


@dataclass(frozen=True, slots=True)
class ContactWriter:
    """
    Writes through one connection.

    Args:
        api: The way to Salesforce.
        resource: What is written.
        types: Salesforce's field -> its type, of all fields that the account has.
        key_field: The external id field that holds `Write.key`, None without one.
    """

    api: Api
    resource: Resource
    types: Mapping[str, str]
    key_field: str | None

    async def write(self, writes: Sequence[Write], fields: Sequence[str]) -> list[WriteResult]:
        """Return one result per write, in order (see `Records.write`)."""
        outcomes: dict[str, Outcome] = {}
        groups: dict[Action, list[tuple[Write, Row]]] = {}
        for write in writes:
            try:
                row = self._row(write)
            except RecordInvalidError as error:
                outcomes[write.key] = error
            else:
                groups.setdefault(write.action, []).append((write, row))
        for action, rows in groups.items():
            outcomes |= await self._apply(action, rows, alone=len(groups) == 1)
        return await self._results(writes, outcomes, fields)

    def _row(self, write: Write) -> Row:
        values: Row = {}
        refused: dict[str, str] = {}
        for name, value in write.fields.items():
            kind = self.types.get(name)
            try:
                if kind is None:
                    raise ValueError("there is no such field, or the user may not see it")
                values[name] = value_of(value, kind)
            except ValueError as error:
                refused[name] = str(error)
        if refused:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
            raise RecordInvalidError(
                f"Salesforce was not asked to {self._operation(write.action)} with values that it "
                f"would refuse: {reasons}. Correct them, or the mapping.",
                platform="salesforce",
                operation=self._operation(write.action),
                fields=refused,
            )
        if write.action == "create" and self.key_field:
            values[self.key_field] = write.key
        if write.id is not None:
            values["id"] = write.id
        return {"attributes": {"type": self.resource.path}, **values}

    async def _apply(
        self, action: Action, rows: list[tuple[Write, Row]], *, alone: bool
    ) -> dict[str, Outcome]:
        try:
            reply = await self._send(action, [row for _, row in rows])
        except _REFUSALS as error:
            # Halve until the bad row stands alone and its neighbours are through.
            if len(rows) == 1:
                return {rows[0][0].key: error}
            middle = len(rows) // 2
            first = await self._apply(action, rows[:middle], alone=False)
            return first | await self._apply(action, rows[middle:], alone=False)
        except ConnectorError as error:
            if alone:
                raise
            return {write.key: error for write, _ in rows}
        told = reply.json if isinstance(reply.json, list) else []
        answers = [*told, *[None] * len(rows)]
        return {
            write.key: self._outcome(action, answer)
            for (write, _), answer in zip(rows, answers, strict=False)
        }

    async def _send(self, action: Action, rows: Sequence[Row]) -> ApiResponse:
        path = f"{data_path(self.api)}/composite/sobjects"
        operation = self._operation(action)
        if action == "delete":
            ids = ",".join(row["id"] for row in rows)
            return await self.api.request(
                "DELETE",
                path,
                operation=operation,
                query={"ids": ids, "allOrNone": "false"},
                repeatable=True,
            )
        is_upsert = action == "create" and self.key_field is not None
        return await self.api.request(
            "PATCH" if is_upsert or action == "update" else "POST",
            f"{path}/{self.resource.path}/{self.key_field}" if is_upsert else path,
            operation=operation,
            json={"allOrNone": False, "records": list(rows)},
            # A create without our key is the only call that would do more the second time.
            repeatable=is_upsert or action == "update",
        )

    def _outcome(self, action: Action, answer: Any) -> Outcome:
        operation = self._operation(action)
        if not isinstance(answer, dict) or (answer.get("success") and not answer.get("id")):
            return OutcomeUnknownError(
                f"Salesforce did not say what became of one record when it had to {operation}. "
                "Look before writing again.",
                platform="salesforce",
                operation=operation,
            )
        if not answer.get("success"):
            return row_error(answer.get("errors") or [], operation, is_create=action == "create")
        return answer

    async def _results(
        self, writes: Sequence[Write], outcomes: Mapping[str, Outcome], fields: Sequence[str]
    ) -> list[WriteResult]:
        written = [
            str(outcome["id"])
            for write in writes
            if write.action != "delete" and isinstance(outcome := outcomes[write.key], dict)
        ]
        rows = await self._read_back(written, fields)
        return [self._result(write, outcomes[write.key], rows, fields) for write in writes]

    async def _read_back(self, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Row]:
        try:
            return await rows_by_id(self.api, self.resource, ids, fields)
        except ConnectorError:
            # The writes are done and must be reported as done; the next reading shows the rest.
            return {}

    def _result(
        self, write: Write, outcome: Outcome, rows: Mapping[str, Row], fields: Sequence[str]
    ) -> WriteResult:
        if isinstance(outcome, ConnectorError):
            return WriteResult(key=write.key, id=write.id, error=outcome)
        id = str(outcome["id"])
        if write.action == "delete":
            return WriteResult(key=write.key, id=id)
        row = rows.get(id)
        record: RemoteRecord = untold_record(id) if row is None else record_of(row, fields)
        created = write.action == "create" and bool(outcome.get("created", True))
        return WriteResult(key=write.key, id=id, created=created, record=record)

    def _operation(self, action: Action) -> str:
        return f"{action} {self.resource.name}"
