"""Writing up to 200 records in one call, each with an outcome of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.response import ApiResponse
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce.explanation import row_error
from dovetail.connectors.salesforce.fetch import data_path
from dovetail.connectors.salesforce.outcome import Action, Outcome, Sending, untold
from dovetail.connectors.salesforce.value import Row


@dataclass(frozen=True, slots=True)
class Collections:
    """Sends writes in the calls for collections (see `Sender`)."""

    api: Api
    resource: Resource
    key_field: str | None

    async def send(self, action: Action, rows: list[Sending]) -> dict[str, Outcome]:
        """Return the outcome of each write by its key."""
        operation = f"{action} {self.resource.name}"
        reply = await self._call(action, operation, [row for _, row in rows])
        told = reply.json if isinstance(reply.json, list) else []
        answers = [*told, *[None] * len(rows)]
        return {
            write.key: _outcome(action, operation, answer)
            for (write, _), answer in zip(rows, answers, strict=False)
        }

    async def _call(
        self, action: Action, operation: str, rows: Sequence[Mapping[str, Any]]
    ) -> ApiResponse:
        path = f"{data_path(self.api)}/composite/sobjects"
        if action == "delete":
            ids = ",".join(row["Id"] for row in rows)
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
            json={"allOrNone": False, "records": [self._record(row) for row in rows]},
            # A create without our key is the only call that would do more the second time.
            repeatable=is_upsert or action == "update",
        )

    def _record(self, row: Mapping[str, Any]) -> Row:
        named = {"id" if name == "Id" else name: value for name, value in row.items()}
        return {"attributes": {"type": self.resource.path}, **named}


def _outcome(action: Action, operation: str, answer: Any) -> Outcome:
    if not isinstance(answer, dict) or (answer.get("success") and not answer.get("id")):
        return untold(operation)
    if not answer.get("success"):
        return row_error(answer.get("errors") or [], operation, is_create=action == "create")
    return answer
