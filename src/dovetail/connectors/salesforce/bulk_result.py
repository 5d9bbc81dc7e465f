"""What became of the rows of an ingest job: its results, joined on what was sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dovetail.connector_sdk.http import Api
from dovetail.connectors.salesforce import bulk_job
from dovetail.connectors.salesforce.explanation import row_error
from dovetail.connectors.salesforce.fetch import data_path
from dovetail.connectors.salesforce.outcome import Action, Outcome, Sending, untold
from dovetail.connectors.salesforce.table import cells_of, columns_of, rows_in
from dovetail.connectors.salesforce.value import is_id, long_id
from dovetail.errors import PlatformUnavailableError, TransientError

Mark = Callable[[Mapping[str, str]], tuple[str, ...]]
_TRIES = 3


def mark_of(action: Action, key_field: str | None, rows: list[Sending]) -> Mark:
    """
    Return what tells a row of a result: its id, our key, or else all that was sent.

    Rows that are the same in all that was sent may stand for each other.
    """
    if action != "create":
        return lambda cells: (long_id(cells.get("Id") or cells.get("sf__Id", "")),)
    columns = [key_field] if key_field else columns_of([row for _, row in rows])
    return lambda cells: tuple(cells.get(column, "") for column in columns)


@dataclass(frozen=True, slots=True)
class Results:
    """Reads the outcomes of one job."""

    api: Api
    operation: str
    mark: Mark

    async def of(self, id: str, told: bulk_job.Told, rows: list[Sending]) -> dict[str, Outcome]:
        """Return the outcome of each write by its key."""
        waiting: dict[tuple[str, ...], list[str]] = {}
        is_create = rows[0][0].action == "create"
        for write, row in rows:
            waiting.setdefault(self.mark(cells_of(row)), []).append(write.key)
        found: dict[str, Outcome] = {}

        def settle(cells: Mapping[str, str], outcome: Outcome) -> None:
            if keys := waiting.get(self.mark(cells)):
                found[keys.pop()] = outcome

        for cells in await self._rows(id, "successfulResults"):
            if is_id(cells.get("sf__Id", "")):
                settle(cells, {"id": cells["sf__Id"], "created": cells["sf__Created"] == "true"})
        if len(found) < len(rows):
            for cells in await self._rows(id, "failedResults"):
                settle(cells, row_error([_refusal(cells)], self.operation, is_create=is_create))
        if len(found) < len(rows):
            skipped = self._skipped(told, id)
            for cells in await self._rows(id, "unprocessedrecords"):
                settle(cells, skipped)
        return {write.key: found.get(write.key, untold(self.operation)) for write, _ in rows}

    async def _rows(self, id: str, name: str) -> list[dict[str, str]]:
        for attempt in range(_TRIES):
            try:
                reply = await self.api.request(
                    "GET",
                    f"{data_path(self.api)}/jobs/ingest/{id}/{name}",
                    operation=self.operation,
                    headers={"Accept": "text/csv"},
                    repeatable=True,
                )
            except PlatformUnavailableError:
                if attempt == _TRIES - 1:
                    raise
                await self.api.clock.sleep(bulk_job.wait_s(attempt))
            else:
                return rows_in(reply.body, self.operation)
        return []

    def _skipped(self, told: bulk_job.Told, id: str) -> TransientError:
        why = bulk_job.ended_badly(told, id, self.operation, "This record was not written.")
        return TransientError(
            f"{why.message} It is tried again.", platform="salesforce", operation=self.operation
        )


def _refusal(cells: Mapping[str, str]) -> dict[str, object]:
    """Return the error of a row: ``CODE:message:fields--``."""
    code, _, rest = cells.get("sf__Error", "").partition(":")
    message, _, names = rest.rpartition(":")
    fields = [name.strip() for name in names.replace("--", "").split(",") if name.strip()]
    return {"statusCode": code.strip(), "message": message or rest, "fields": fields}
