"""Everything that a search finds, in the order of ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.spec import Resource

SEARCH_LIMIT = 200


async def search_all(
    api: Api, resource: Resource, filters: Sequence[Mapping[str, Any]], told: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return every record that fits, however many: paged by id, since offsets end at 10,000."""
    found: list[dict[str, Any]] = []
    last = "0"
    while True:
        beyond = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
        reply = await api.request(
            "POST",
            f"{resource.path}/search",
            operation=f"search {resource.name}",
            json={
                "filterGroups": [{"filters": [*filters, beyond]}],
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                "properties": list(told),
                "limit": SEARCH_LIMIT,
            },
            repeatable=True,
            expects=("results",),
        )
        page = reply.json["results"]
        found += page
        if not page or not (reply.json.get("paging") or {}).get("next"):
            return found
        last = str(page[-1]["id"])
