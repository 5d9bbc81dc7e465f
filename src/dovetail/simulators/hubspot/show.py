"""Records as HubSpot's answers show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from dovetail.simulator_sdk.record import Record
from dovetail.simulator_sdk.replica import Snapshot
from dovetail.simulators.hubspot.catalog import ObjectType
from dovetail.simulators.hubspot.property import iso
from dovetail.simulators.hubspot.store import ObjectStore

APP_SOURCES = ("INTEGRATION", "API")


def show(
    store: ObjectStore,
    kind: ObjectType,
    record: Record | Snapshot,
    *,
    properties: Iterable[str] = (),
    history: Sequence[str] = (),
    app_id: str = "",
) -> dict[str, Any]:
    """Return a record with the asked properties, or the type's default ones when none is."""
    defined = store.properties[kind.name]
    names = dict.fromkeys(properties) or dict.fromkeys(kind.defaults)
    names.update(dict.fromkeys(kind.always))
    shown: dict[str, Any] = {
        "id": record.id,
        "properties": {
            name: store.value(kind, record, name)
            for name in sorted(names)
            if name in defined and not defined[name].archived
        },
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.modified_at),
        "archived": False,
    }
    if isinstance(record, Record):
        if record.deleted_at is not None:
            shown["archived"] = True
            shown["archivedAt"] = iso(record.deleted_at)
        if history:
            shown["propertiesWithHistory"] = {
                name: _versions(record, name, app_id) for name in history if name in defined
            }
    return shown


def show_batch(
    results: list[dict[str, Any]], errors: list[dict[str, Any]], *, at: datetime
) -> dict[str, Any]:
    """Return the answer to a batch."""
    answer: dict[str, Any] = {
        "status": "COMPLETE",
        "results": results,
        "startedAt": iso(at),
        "completedAt": iso(at),
    }
    if errors:
        answer["numErrors"] = len(errors)
        answer["errors"] = errors
    return answer


def _versions(record: Record, name: str, app_id: str) -> list[dict[str, Any]]:
    return [
        {
            "value": version.value or "",
            "timestamp": iso(version.at),
            "sourceType": version.source,
            **({"sourceId": app_id} if version.source in APP_SOURCES else {}),
        }
        for version in record.history.get(name, ())
    ]
