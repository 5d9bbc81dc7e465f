"""
Writing very many records: one bulk job instead of a call for every 200 of them.

    make the job -> upload its rows, once -> close it -> ask after it -> outcomes, row by row

Nothing is written before the job is closed: until then, whatever goes wrong, it is aborted and that
is that. From then on no lost answer makes anything be sent again: the job is asked after by its id.
One that takes too long is aborted, and says which of its rows were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import bulk_job
from dovetail.connectors.salesforce.bulk_result import Results, mark_of
from dovetail.connectors.salesforce.fetch import data_path, follow
from dovetail.connectors.salesforce.ingest import Ingest
from dovetail.connectors.salesforce.outcome import Action, Outcome, Sending
from dovetail.connectors.salesforce.table import NULL, size_of, table_of
from dovetail.connectors.salesforce.value import SKEW, moment
from dovetail.errors import (
    ConnectorError,
    OutcomeUnknownError,
    PermissionDeniedError,
    TransientError,
)

SETTING = "bulk_write_from"
# Salesforce takes 100 MB; the results repeat what was sent, and an answer is held in memory.
_MOST_BYTES = 32_000_000
_MOST_ROWS = 10_000
_RUNNING = frozenset({"UploadComplete", "InProgress"})


@dataclass(frozen=True, slots=True)
class Jobs:
    """Sends writes in ingest jobs (see `Sender`)."""

    api: Api
    resource: Resource
    key_field: str | None

    @property
    def least(self) -> int:
        """From how many writes of one kind on jobs are used, 0 for never."""
        return bulk_job.threshold(self.api, SETTING, self.resource.bulk_write_from)

    def batches(self, rows: list[Sending]) -> tuple[list[list[Sending]], list[Sending]]:
        """Return the rows of each job, and those that go another way."""
        if not self.least or len(rows) < self.least:
            return [], rows
        batches: list[list[Sending]] = [[]]
        others: list[Sending] = []
        held = 0
        for one in rows:
            if NULL in one[1].values():
                others.append(one)  # it would be taken for "no value"
                continue
            size = size_of(one[1])
            if held + size > _MOST_BYTES or len(batches[-1]) == _MOST_ROWS:
                batches.append([])
                held = 0
            batches[-1].append(one)
            held += size
        if len(batches[-1]) < self.least:
            others += batches.pop()
        return batches, others

    async def send(self, action: Action, rows: list[Sending]) -> dict[str, Outcome]:
        """Return the outcome of each write by its key."""
        job = Ingest(self.api, self.resource, self.key_field, action)
        id = await job.fill(table_of([row for _, row in rows]))
        try:
            if await job.close(id):
                told = await job.end(id)
                results = Results(self.api, job.operation, mark_of(action, self.key_field, rows))
                return await results.of(id, told, rows)
        except ConnectorError as error:
            raise OutcomeUnknownError(
                f"{error.message} The bulk job {id} may have written {len(rows)} records: they "
                "are looked up before they are written again.",
                platform="salesforce",
                operation=job.operation,
                job=id,
            ) from error
        raise TransientError(
            f"Salesforce's bulk job {id} could not be closed and was aborted; nothing was written. "
            "It is tried again.",
            platform="salesforce",
            operation=job.operation,
            job=id,
        )

    async def check_none_runs(self, since: datetime) -> None:
        """
        Make sure that no job that was made after *since* still makes records of this kind.

        Creates of one job may be looked up one by one, so their number does not tell.

        Args:
            since: When the first of the creates that are looked up was sent.

        Raises:
            TransientError: One does: what it will have made cannot be looked up yet.
        """
        if not self.least:
            return
        operation = f"find {self.resource.name}"
        path: str | None = f"{data_path(self.api)}/jobs/ingest?jobType=V2Ingest"
        while path:
            try:
                reply = await follow(self.api, operation, path)
            except PermissionDeniedError:
                return  # who may not see jobs has made none
            for job in reply.json["records"]:
                if self._runs(job, since):
                    raise TransientError(
                        f"Salesforce's bulk job {job['id']} still writes {self.resource.name}; "
                        "what it makes is looked up when it has ended.",
                        platform="salesforce",
                        operation=operation,
                        job=job["id"],
                    )
            path = reply.json.get("nextRecordsUrl")

    def _runs(self, job: Mapping[str, Any], since: datetime) -> bool:
        is_ours = job["object"] == self.resource.path and job["state"] in _RUNNING
        return is_ours and moment(job["createdDate"]) >= since - SKEW
