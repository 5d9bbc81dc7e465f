"""Writing records, few by collections and very many by jobs: a bad row fails no neighbour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import bulk_write
from dovetail.connectors.salesforce.collection import Collections
from dovetail.connectors.salesforce.fetch import rows_by_id
from dovetail.connectors.salesforce.outcome import Action, Outcome, Sender, Sending
from dovetail.connectors.salesforce.record import record_of, untold_record
from dovetail.connectors.salesforce.value import Row, value_of
from dovetail.errors import (
    AuthenticationError,
    ConnectorError,
    PermanentError,
    RateLimitedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)

Call = tuple[Sender, Action, list[Sending]]

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
        calls = [call for action, rows in groups.items() for call in self._calls(action, rows)]
        return await self._results(writes, outcomes | await self._send_all(calls), fields)

    def _calls(self, action: Action, rows: list[Sending]) -> Iterator[Call]:
        jobs = bulk_write.Jobs(self.api, self.resource, self.key_field)
        batches, rows = jobs.batches(rows)
        yield from ((jobs, action, batch) for batch in batches)
        yield from self._by_collections(action, rows)

    def _by_collections(self, action: Action, rows: list[Sending]) -> Iterator[Call]:
        collections = Collections(self.api, self.resource, self.key_field)
        for start in range(0, len(rows), self.resource.write_batch):
            yield collections, action, rows[start : start + self.resource.write_batch]

    async def _send_all(self, calls: list[Call]) -> dict[str, Outcome]:
        outcomes: dict[str, Outcome] = {}
        while calls:
            sender, action, rows = calls.pop(0)
            try:
                outcomes |= await sender.send(action, rows)
            except ConnectorError as error:
                if others := self._otherwise(sender, action, rows, error):
                    calls[:0] = others
                    continue
                if isinstance(error, _STOPS):
                    # The other calls would meet the same, or wait for the limit to open.
                    rows = [*rows, *(one for _, _, more in calls for one in more)]
                    calls.clear()
                if not outcomes and not calls and not isinstance(error, _REFUSALS):
                    raise
                outcomes |= {write.key: error for write, _ in rows}
        return outcomes

    def _otherwise(
        self, sender: Sender, action: Action, rows: list[Sending], error: ConnectorError
    ) -> list[Call]:
        """Return the calls that do what a refused one did not, so that most of it gets done."""
        if isinstance(sender, bulk_write.Jobs):
            is_refused = isinstance(error, PermanentError) and not isinstance(error, _STOPS)
            return list(self._by_collections(action, rows)) if is_refused else []
        is_about_a_row = isinstance(error, _REFUSALS) or error.platform_code == "UNABLE_TO_LOCK_ROW"
        if len(rows) == 1 or not is_about_a_row:
            return []
        # Halve until the bad row stands alone and its neighbours are through.
        middle = len(rows) // 2
        return [(sender, action, rows[:middle]), (sender, action, rows[middle:])]

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
            operation = f"{write.action} {self.resource.name}"
            raise RecordInvalidError(
                f"Salesforce was not asked to {operation} with values that it "
                f"would refuse: {reasons}. Correct them, or the mapping.",
                platform="salesforce",
                operation=operation,
                fields=refused,
            )
        if write.action == "create" and self.key_field:
            values[self.key_field] = write.key
        return values if write.id is None else {**values, "Id": write.id}

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
            untold_record(id) if row is None else record_of(self.resource, row, fields)
        )
        created = write.action == "create" and bool(outcome.get("created", True))
        return WriteResult(key=write.key, id=id, created=created, record=record)
