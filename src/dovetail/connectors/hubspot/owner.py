"""The users of the account, to whom records belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Owner
from dovetail.connectors.hubspot.value import next_after

_LIMIT = "100"


async def read_owners(api: Api) -> list[Owner]:
    """Return every owner; records may still belong to one who has left."""
    # `id` is what records name as their owner; `userId` is not.
    found: dict[str, Owner] = {}
    for archived in ("true", "false"):
        for item in await _list(api, archived):
            found[str(item["id"])] = _owner(item, active=archived == "false")
    return list(found.values())


async def _list(api: Api, archived: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        reply = await api.request(
            "GET",
            "/crm/v3/owners",
            operation="list owners",
            query={"limit": _LIMIT, "archived": archived, **({"after": after} if after else {})},
            repeatable=True,
            expects=("results",),
        )
        found += reply.json["results"]
        after = next_after(reply.json)
    return found


def _owner(item: Mapping[str, Any], *, active: bool) -> Owner:
    names = (item.get("firstName"), item.get("lastName"))
    return Owner(
        id=str(item["id"]),
        name=" ".join(name for name in names if name),
        email=item.get("email") or None,
        active=active and not item.get("archived"),
    )
