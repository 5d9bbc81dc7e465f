"""One ingest job, stage by stage: what each lost answer means."""

from __future__ import annotations

from dataclasses import dataclass

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce import bulk_job
from dovetail.connectors.salesforce.fetch import data_path
from dovetail.connectors.salesforce.outcome import Action
from dovetail.errors import (
    ConnectorError,
    OutcomeUnknownError,
    RateLimitedError,
    TransientError,
)

_PATIENCE_S = 900.0


@dataclass(frozen=True, slots=True)
class Ingest:
    """
    The stages of one job.

    Args:
        api: The way to Salesforce.
        resource: What is written.
        key_field: The external id field that creates carry, None without one.
        action: What is done with the rows.
    """

    api: Api
    resource: Resource
    key_field: str | None
    action: Action

    @property
    def operation(self) -> str:
        """What is done, as errors say it."""
        return f"{self.action} many {self.resource.name}"

    async def fill(self, table: bytes) -> str:
        """Make the job and upload its rows; return its id. Nothing is written yet."""
        id, url = await self._make()
        try:
            await self.api.request(
                "PUT",
                url,
                operation=self.operation,
                body=table,
                headers={"Content-Type": "text/csv; charset=UTF-8"},
                repeatable=True,
            )
        except ConnectorError as error:
            await self._set(id, "Aborted")
            if isinstance(error, RateLimitedError) or not isinstance(error, TransientError):
                raise
            raise TransientError(
                f"{error.message} The bulk job was not closed, so nothing was written.",
                platform="salesforce",
                operation=self.operation,
                job=id,
            ) from error
        return id

    async def close(self, id: str) -> bool:
        """Let Salesforce begin; False: it will not, the job was aborted before."""
        if await self._set(id, "UploadComplete"):
            return True
        # Nobody heard the answer. A job that is open still was not closed, and can be aborted.
        told = await bulk_job.state_of(self.api, "ingest", id, self.operation)
        return told["state"] != "Open" or not await self._set(id, "Aborted")

    async def end(self, id: str) -> bulk_job.Told:
        """Return what Salesforce says of the job when it has ended; it is aborted if it must be."""
        clock = self.api.clock
        until, polls, is_aborted = clock.monotonic() + _PATIENCE_S, 0, False
        while True:
            await clock.sleep(bulk_job.wait_s(polls))
            polls += 1
            try:
                told = await bulk_job.state_of(self.api, "ingest", id, self.operation)
            except TransientError:
                told = {"state": "Unknown"}
            if told["state"] == bulk_job.DONE or told["state"] in bulk_job.ENDED:
                return told
            if clock.monotonic() > until:
                if is_aborted:
                    raise OutcomeUnknownError(
                        f"Salesforce does not say how the bulk job {id} ended.",
                        platform="salesforce",
                        operation=self.operation,
                    )
                await self._set(id, "Aborted")
                until, polls, is_aborted = clock.monotonic() + _PATIENCE_S, 0, True

    async def _make(self) -> tuple[str, str]:
        key = self.key_field if self.action == "create" else None
        kind = {"create": "upsert" if key else "insert"}.get(self.action, self.action)
        reply = await self.api.request(
            "POST",
            f"{data_path(self.api)}/jobs/ingest",
            operation=self.operation,
            json={"object": self.resource.path, "operation": kind, **bulk_job.CSV}
            | ({"externalIdFieldName": key} if key else {}),
            # A job without rows writes nothing, whoever may have made it.
            repeatable=True,
            expects=("id", "contentUrl"),
        )
        return str(reply.json["id"]), f"/{str(reply.json['contentUrl']).lstrip('/')}"

    async def _set(self, id: str, state: str) -> bool:
        """Give the job a state; return whether Salesforce says that it has it."""
        try:
            reply = await self.api.request(
                "PATCH",
                f"{data_path(self.api)}/jobs/ingest/{id}",
                operation=self.operation,
                json={"state": state},
                repeatable=True,
                expects=("state",),
            )
        except ConnectorError:
            return False
        return bool(reply.json["state"] == state)
