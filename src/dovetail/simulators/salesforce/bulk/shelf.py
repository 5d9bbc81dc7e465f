"""The jobs of an org, and time passing for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from dovetail.simulators.salesforce.bulk.job import (
    ABORTED,
    CLOSED,
    DONE,
    FAILED,
    FINISHED,
    RUNNING,
    Bulk,
    Extract,
    Ingest,
)
from dovetail.simulators.salesforce.bulk.loading import Loader
from dovetail.simulators.salesforce.bulk.sheet import SheetError
from dovetail.simulators.salesforce.identifier import IdSequence
from dovetail.simulators.salesforce.org import Org

KEPT = timedelta(days=7)

_Read = Callable[[Extract], list[list[Any]]]


class JobShelf:
    """
    Open and finished jobs.

    A job that was closed is in progress after half of `delay_s` and done after the whole; what it
    does is done when somebody looks after that, before they see anything.

    Args:
        org: Whose jobs these are.
        loader: Writes the rows of ingest jobs.
        read: Runs the query of a query job.
        delay_s: How long a job takes.
        now: The platform's time.
    """

    def __init__(
        self,
        *,
        org: Org,
        loader: Loader,
        read: _Read,
        delay_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._org = org
        self._loader = loader
        self._read = read
        self._delay = timedelta(seconds=delay_s)
        self._now = now
        self._ids = IdSequence("750")
        self.ingest: dict[str, Ingest] = {}
        self.query: dict[str, Extract] = {}

    def new_facts(self, operation: str, object_name: str, version: str) -> dict[str, Any]:
        """Return what a new job starts from."""
        return {
            "id": self._ids.new(),
            "operation": operation,
            "object_name": object_name,
            "version": version,
            "created_by": self._org.user_id,
            "created_at": self._now(),
        }

    def close(self, job: Bulk) -> None:
        """Let the platform begin."""
        job.move(CLOSED, self._now())
        job.closed_at = self._now()

    def abort(self, job: Bulk) -> None:
        """Stop a job that is not done."""
        if isinstance(job, Ingest) and job.content is not None:
            try:
                job.unprocessed = self._loader.read(job)
            except SheetError as exc:
                job.error = str(exc)
        job.move(ABORTED, self._now())

    def catch_up(self) -> None:
        """Do what is due by now."""
        now = self._now()
        for jobs in (self.ingest, self.query):
            for job in list(jobs.values()):
                if job.state in FINISHED:
                    if now - job.created_at > KEPT:
                        del jobs[job.id]
                elif job.closed_at is not None:
                    self._advance(job, now, job.closed_at)

    def _advance(self, job: Bulk, now: datetime, closed_at: datetime) -> None:
        if now - closed_at >= self._delay:
            self._run(job)
        elif now - closed_at >= self._delay / 2:
            job.move(RUNNING, now)

    def _run(self, job: Bulk) -> None:
        if isinstance(job, Extract):
            job.rows = self._read(job)
        elif isinstance(job, Ingest):
            try:
                rows = self._loader.read(job)
            except SheetError as exc:
                job.error = str(exc)
                job.move(FAILED, self._now())
                return
            self._loader.load(job, rows)
            job.content = None
        job.move(DONE, self._now())


def rows_of(job: Extract, org: Org, commit_lag_s: float) -> list[list[Any]]:
    """Return the rows of a query job, as a query at this moment sees them."""
    if job.plan is None:
        return []
    index = org.table(job.plan.sobject).visible(org.now(), commit_lag_s)
    rows = job.plan.run(index, with_deleted=job.operation == "queryAll")
    return [[column.read(row) for column in job.plan.columns] for row in rows]
