"""What a sender of writes returns: per write, the row that was written or why it was not."""

from __future__ import annotations

from typing import Literal, Protocol

from dovetail.connector_sdk.record import Write
from dovetail.connectors.salesforce.value import Row
from dovetail.errors import ConnectorError, OutcomeUnknownError

Action = Literal["create", "update", "delete"]
Outcome = Row | ConnectorError
Sending = tuple[Write, Row]
"""A write, and its values as Salesforce takes them, by the names of its fields."""


class Sender(Protocol):
    """Sends writes of one kind together."""

    async def send(self, action: Action, rows: list[Sending]) -> dict[str, Outcome]:
        """
        Return the outcome of each write by its key.

        Raises:
            OutcomeUnknownError: Nobody knows what was written.
            ConnectorError: Nothing was written at all.
        """
        ...


def untold(operation: str) -> OutcomeUnknownError:
    """Return the outcome of a write of which Salesforce said nothing."""
    return OutcomeUnknownError(
        f"Salesforce did not say what became of one record when it had to {operation}. "
        "Look before writing again.",
        platform="salesforce",
        operation=operation,
    )
