"""Bulk jobs: their state, how long to wait for them, and what to say of those that failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connectors.salesforce.fetch import data_path
from dovetail.errors import ConfigError, PermanentError

DONE = "JobComplete"
ENDED = frozenset({"Failed", "Aborted"})
CSV = {"contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF"}
_FIRST_WAIT_S = 2.0
_LONGEST_WAIT_S = 60.0

Told = Mapping[str, Any]


def threshold(api: Api, setting: str, declared: int | None) -> int:
    """
    Return from how many records on a job is used, 0 for never.

    Raises:
        ConfigError: The connection's setting is no number.
    """
    told = api.settings.get(setting, declared or 0)
    try:
        return max(int(told), 0)
    except (TypeError, ValueError):
        raise ConfigError(
            f"The connection's setting {setting} is {told!r}, which is no number of records. Give "
            "one, or 0 to use no bulk jobs.",
            platform="salesforce",
            setting=setting,
        ) from None


async def state_of(api: Api, kind: str, id: str, operation: str) -> Told:
    """Return what Salesforce says of a job; *kind* is ``query`` or ``ingest``."""
    reply = await api.request(
        "GET",
        f"{data_path(api)}/jobs/{kind}/{id}",
        operation=operation,
        repeatable=True,
        expects=("state",),
    )
    told: Told = reply.json
    return told


def wait_s(polls: int) -> float:
    """Return the seconds to wait before a job is asked after again."""
    return min(_FIRST_WAIT_S * 2.0 ** min(polls, 10), _LONGEST_WAIT_S)


def ended_badly(told: Told, id: str, operation: str, advice: str) -> PermanentError:
    """Return the error of a job that failed or was aborted."""
    why = str(told.get("errorMessage") or "no explanation was given").rstrip(" .")
    return PermanentError(
        f"Salesforce could not {operation}: its bulk job {id} ended as {told['state']}, {why}. "
        f"{advice}",
        platform="salesforce",
        operation=operation,
        job=id,
    )
