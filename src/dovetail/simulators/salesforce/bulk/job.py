"""Jobs and what the API shows of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.bulk.sheet import write_sheet
from dovetail.simulators.salesforce.soql.plan import Plan

OPEN, CLOSED, RUNNING = "Open", "UploadComplete", "InProgress"
DONE, FAILED, ABORTED = "JobComplete", "Failed", "Aborted"
FINISHED = frozenset({DONE, FAILED, ABORTED})


@dataclass(slots=True)
class Bulk:
    """What both kinds of job have. `closed_at` is when the platform was told to begin."""

    id: str
    operation: str
    object_name: str
    version: str
    created_by: str
    created_at: datetime
    delimiter: str = "COMMA"
    line_ending: str = "LF"
    state: str = OPEN
    changed_at: datetime | None = None
    closed_at: datetime | None = None
    retries: int = 0
    error: str | None = None

    def move(self, state: str, at: datetime) -> None:
        """Go on to another state."""
        self.state = state
        self.changed_at = at

    def to_record(self) -> dict[str, Any]:
        """Return the job as every answer shows it."""
        changed_at = self.changed_at or self.created_at
        return {
            "id": self.id,
            "operation": self.operation,
            "object": self.object_name,
            "createdById": self.created_by,
            "createdDate": moment.to_text(self.created_at),
            "systemModstamp": moment.to_text(changed_at),
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.version.removeprefix("v")),
            "lineEnding": self.line_ending,
            "columnDelimiter": self.delimiter,
        }

    def times(self) -> dict[str, Any]:
        """Return what only the answer about one job adds."""
        took_ms = 0
        if self.state in FINISHED and self.closed_at and self.changed_at:
            took_ms = round((self.changed_at - self.closed_at).total_seconds() * 1000)
        shown: dict[str, Any] = {"retries": self.retries, "totalProcessingTime": took_ms}
        if self.error is not None:
            shown["errorMessage"] = self.error
        return shown


@dataclass(slots=True)
class Ingest(Bulk):
    """A job that writes rows."""

    key_field: str | None = None
    content: str | None = None
    header: list[str] = field(default_factory=list)
    written: list[tuple[str, bool, list[str]]] = field(default_factory=list)
    refused: list[tuple[str, str, list[str]]] = field(default_factory=list)
    unprocessed: list[list[str]] = field(default_factory=list)

    def to_record(self) -> dict[str, Any]:
        """Return the job; where content goes is shown while it is open."""
        shown = Bulk.to_record(self) | {"jobType": "V2Ingest"}
        if self.key_field is not None:
            shown["externalIdFieldName"] = self.key_field
        if self.state == OPEN:
            shown["contentUrl"] = f"services/data/{self.version}/jobs/ingest/{self.id}/batches"
        return shown

    def details(self) -> dict[str, Any]:
        """Return the job with its counts."""
        counts = {
            "numberRecordsProcessed": len(self.written) + len(self.refused),
            "numberRecordsFailed": len(self.refused),
            "apiActiveProcessingTime": self.times()["totalProcessingTime"],
            "apexProcessingTime": 0,
        }
        return self.to_record() | self.times() | counts

    def successful(self) -> str:
        """Return the table of rows that were written."""
        rows = ([id, created, *cells] for id, created, cells in self.written)
        header = ["sf__Id", "sf__Created", *self.header]
        return write_sheet(header, rows, delimiter=self.delimiter)

    def failed(self) -> str:
        """Return the table of rows that were refused, each with its reason."""
        rows = ([id, error, *cells] for id, error, cells in self.refused)
        return write_sheet(["sf__Id", "sf__Error", *self.header], rows, delimiter=self.delimiter)

    def untouched(self) -> str:
        """Return the table of rows that a failed or aborted job did not come to."""
        return write_sheet(self.header, self.unprocessed, delimiter=self.delimiter)


@dataclass(slots=True)
class Extract(Bulk):
    """A job that reads rows; `plan` is its checked query."""

    plan: Plan | None = None
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)

    def to_record(self) -> dict[str, Any]:
        """Return the job."""
        return Bulk.to_record(self) | {"jobType": "V2Query"}

    def details(self) -> dict[str, Any]:
        """Return the job with its counts."""
        return self.to_record() | self.times() | {"numberRecordsProcessed": len(self.rows)}

    def page(self, start: int, stop: int) -> str:
        """Return a table of some rows."""
        return write_sheet(
            self.columns,
            self.rows[start:stop],
            delimiter=self.delimiter,
            line_ending=self.line_ending,
        )
