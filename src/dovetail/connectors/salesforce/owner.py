"""The users of the org, to whom records belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Owner
from dovetail.connectors.salesforce import soql
from dovetail.connectors.salesforce.fetch import ask, follow

_FIELDS = ("Id", "Name", "Email", "IsActive")
_OPERATION = "read owners"


async def read_owners(api: Api) -> list[Owner]:
    """Return every user by id; records may still belong to one who has left."""
    reply = await ask(api, _OPERATION, soql.query(_FIELDS, "User", order="Id ASC"))
    found = [_owner(row) for row in reply.json["records"]]
    while locator := reply.json.get("nextRecordsUrl"):
        reply = await follow(api, _OPERATION, locator)
        found += [_owner(row) for row in reply.json["records"]]
    return found


def _owner(row: Mapping[str, Any]) -> Owner:
    return Owner(
        id=row["Id"],
        name=row.get("Name") or "",
        email=row.get("Email") or None,
        active=row.get("IsActive") is not False,
    )
