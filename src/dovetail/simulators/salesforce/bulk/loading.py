"""Writes the rows of an ingest job, each for itself, by the rules that hold for single rows too."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from dovetail.simulators.salesforce.bulk.job import Bulk, Ingest
from dovetail.simulators.salesforce.bulk.sheet import NULL, SheetError, read_sheet
from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.identifier import to_id18
from dovetail.simulators.salesforce.org import Org
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.sobject import SObject
from dovetail.simulators.salesforce.write import Writer

IsLocked = Callable[[Bulk], bool]
"""Says whether somebody else holds the row that comes next."""


class Loader:
    """Runs ingest jobs on an org."""

    def __init__(self, org: Org, writer: Writer, is_locked: IsLocked) -> None:
        self._org = org
        self._writer = writer
        self._is_locked = is_locked

    def read(self, job: Ingest) -> list[list[str]]:
        """
        Return the rows of a job's content and set its header.

        Raises:
            SheetError: The content is refused as a whole.
        """
        header, rows = read_sheet(
            job.content or "", delimiter=job.delimiter, line_ending=job.line_ending
        )
        job.header = header
        sobject = self._org.sobject(job.object_name)
        for column in header:
            if _field_of(sobject, column) is None:
                raise SheetError(f"InvalidBatch : Field name not found : {column}")
        needed = job.key_field if job.operation == "upsert" else "Id"
        has_key = str(needed).lower() in [column.lower() for column in header]
        if job.operation != "insert" and not has_key:
            raise SheetError(f"InvalidBatch : Field name not found : {needed}")
        return rows

    def load(self, job: Ingest, rows: list[list[str]]) -> None:
        """Write every row; the results are in no order of the input."""
        sobject = self._org.sobject(job.object_name)
        for row in rows:
            row_id = ""
            try:
                values = _values(sobject, job.header, row)
                row_id = to_id18(str(values.get("Id") or "")) or ""
                if self._is_locked(job):
                    raise _locked(row_id)
                written, created = self._write(job, sobject, values)
            except SalesforceError as exc:
                job.refused.append((row_id, _error_text(exc), row))
                continue
            job.written.append((written, created, row))
        order = random.Random(job.id)
        order.shuffle(job.written)
        order.shuffle(job.refused)

    def _write(self, job: Ingest, sobject: SObject, values: dict[str, Any]) -> tuple[str, bool]:
        if job.operation == "insert":
            return self._writer.create(sobject, values, allow_duplicates=False), True
        if job.operation == "upsert" and job.key_field not in (None, "Id"):
            return self._upsert(str(job.key_field), sobject, values)
        given = values.pop("Id", None)
        if given is None and job.operation == "upsert":
            return self._writer.create(sobject, values), True
        row_id = to_id18(str(given or "")) or ""
        if not row_id.startswith(sobject.key_prefix):
            code = "MALFORMED_ID" if given else "MISSING_ARGUMENT"
            raise SalesforceError(400, code, f"id value of incorrect type: {given}", ("Id",))
        if self._org.lookup(sobject.name, row_id) is None:
            raise SalesforceError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
        if job.operation in ("delete", "hardDelete"):
            self._writer.delete(sobject, row_id)
            if job.operation == "hardDelete":
                self._org.forget(sobject, row_id)
        else:
            self._writer.update(sobject, row_id, values)
        return row_id, False

    def _upsert(self, key: str, sobject: SObject, values: dict[str, Any]) -> tuple[str, bool]:
        field = sobject.find(key)
        value = values.pop(field.name, None) if field is not None else None
        if field is None or value is None:
            raise SalesforceError(400, "MISSING_ARGUMENT", f"{key} not specified", ())
        done = self._writer.upsert(sobject, field, str(value), values)
        return done.id, done.created


def _values(sobject: SObject, header: list[str], row: list[str]) -> dict[str, Any]:
    """Return what a row sets: empty cells set nothing, ``#N/A`` clears."""
    values: dict[str, Any] = {}
    for column, cell in zip(header, row, strict=True):
        if cell == "":
            continue
        value = None if cell == NULL else cell
        relation, _, key = column.partition(".")
        field = _field_of(sobject, column)
        if key:
            values[relation] = {key: value}
        elif field is not None:
            values[field.name] = value
    return values


def _field_of(sobject: SObject, column: str) -> Field | None:
    """Return the field a column sets; ``Account.Hub_Key__c`` sets the reference by a key."""
    relation, _, key = column.partition(".")
    return sobject.find_relationship(relation) if key else sobject.find(column)


def _locked(row_id: str) -> SalesforceError:
    return SalesforceError(
        400,
        "UNABLE_TO_LOCK_ROW",
        f"unable to obtain exclusive access to this record or 1 records: {row_id}",
        (),
    )


def _error_text(error: SalesforceError) -> str:
    code = str(error.code)
    if code == "JSON_PARSER_ERROR":
        code = "INVALID_TYPE_ON_FIELD_IN_RECORD"
    fields = ",".join(error.fields or ())
    return f"{code}:{error.message}:{fields + ' ' if fields else ''}--"
