"""Writing records in collections: a bad row never fails its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.response import ApiResponse
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce.explanation import row_error
from dovetail.connectors.salesforce.fetch import data_path, rows_by_id
from dovetail.connectors.salesforce.sobject import object_of
from dovetail.connectors.salesforce.value import Row, record_of, untold_record, value_of
from dovetail.errors import (
    AuthenticationError,
    ConnectorError,
    OutcomeUnknownError,
    RateLimitedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)

Action = Literal["create", "update", "delete"]
Outcome = Row | ConnectorError
Sending = tuple[Write, Row]

# The whole call was refused: its JSON, a field, an id. Nothing of it was written.
_REFUSALS = (RecordInvalidError, RecordConflictError, RecordNotFoundError)
_STOPS = (RateLimitedError, AuthenticationError)


@dataclass(frozen=True, slots=True)
class RecordWriter:
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
        groups: dict[Action, list[Sending]] = {}
        for write in writes:
            try:
                row = self._row(write)
            except RecordInvalidError as error:
                outcomes[write.key] = error
            else:
                groups.setdefault(write.action, []).append((write, row))
        sent = await self._send_all(list(groups.items()))
        return await self._results(writes, outcomes | sent, fields)

    async def _send_all(self, calls: list[tuple[Action, list[Sending]]]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        while calls:
            action, rows = calls.pop(0)
            try:
                reply = await self._send(action, [row for _, row in rows])
            except ConnectorError as error:
                if len(rows) > 1 and _is_about_a_row(error):
                    # Halve until the bad row stands alone and its neighbours are through.
                    middle = len(rows) // 2
                    calls[:0] = [(action, rows[:middle]), (action, rows[middle:])]
                    continue
                if isinstance(error, _STOPS):
                    # The other calls would meet the same, or wait for the limit to open.
                    rows = [*rows, *(one for _, more in calls for one in more)]
                    calls.clear()
                if not outcomes and not calls and not isinstance(error, _REFUSALS):
                    raise
                outcomes |= {write.key: error for write, _ in rows}
            else:
                outcomes |= self._outcomes(action, rows, reply.json)
        return outcomes

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

    def _outcomes(self, action: Action, rows: list[Sending], told: Any) -> dict[str, Outcome]:
        answers = [*(told if isinstance(told, list) else []), *[None] * len(rows)]
        return {
            write.key: self._outcome(action, answer)
            for (write, _), answer in zip(rows, answers, strict=False)
        }

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
        is_stopped = any(isinstance(outcome, _STOPS) for outcome in outcomes.values())
        rows = {} if is_stopped else await self._read_back(written, fields)
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
        record: RemoteRecord = (
            untold_record(id)
            if row is None
            else record_of(row, fields, object_of(self.resource).money)
        )
        created = write.action == "create" and bool(outcome.get("created", True))
        return WriteResult(key=write.key, id=id, created=created, record=record)

    def _operation(self, action: Action) -> str:
        return f"{action} {self.resource.name}"


def _is_about_a_row(error: ConnectorError) -> bool:
    """Return whether one row may be why the whole call was refused, with nothing written."""
    return isinstance(error, _REFUSALS) or error.platform_code == "UNABLE_TO_LOCK_ROW"
