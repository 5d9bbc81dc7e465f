"""
The life cycle of contacts and companies goes forward only.

HubSpot accepts an earlier stage, says that all is well, and keeps the later one. To go back, the
stage is cleared with one call and set with another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from dovetail.connector_sdk.record import Write
from dovetail.errors import ConnectorError

LIFECYCLE = "lifecyclestage"

Outcome = dict[str, Any] | ConnectorError
Update = Callable[[list[Write]], Awaitable[dict[str, Outcome]]]
Read = Callable[[list[str]], Awaitable[Mapping[str, Mapping[str, Any]]]]


async def move_back(
    writes: Sequence[Write], outcomes: Mapping[str, Outcome], read: Read, update: Update
) -> dict[str, Outcome]:
    """Make the updates whose stage HubSpot ignored, and return what became of them."""
    stages = {
        write.key: str(stage)
        for write in writes
        # A record that was just made has no later stage.
        if write.action == "update" and (stage := write.fields.get(LIFECYCLE))
    }
    done = {
        key: outcome for key in stages if not isinstance(outcome := outcomes[key], ConnectorError)
    }
    silent = [str(one["id"]) for one in done.values() if LIFECYCLE not in _properties(one)]
    shown = await read(silent) if silent else {}
    ignored = {
        key: str(item["id"])
        for key, item in done.items()
        if (now := _properties(shown.get(str(item["id"]), item)).get(LIFECYCLE))
        and now != stages[key]
    }
    if not ignored:
        return {}
    cleared = await update([_stage(key, id, None) for key, id in ignored.items()])
    again = [
        _stage(key, id, stages[key])
        for key, id in ignored.items()
        if not isinstance(cleared[key], ConnectorError)
    ]
    return cleared | (await update(again) if again else {})


def _stage(key: str, id: str, stage: str | None) -> Write:
    return Write(action="update", key=key, id=id, fields={LIFECYCLE: stage})


def _properties(item: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = item.get("properties") or {}
    return found
