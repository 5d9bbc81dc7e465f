"""The users of the org, to whom records belong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Owner
from dovetail.connectors.salesforce import soql
from dovetail.connectors.salesforce.fetch import pages

_FIELDS = ("Id", "Name", "Email", "IsActive")


async def read_owners(api: Api) -> list[Owner]:
    """Return every user by id; records may still belong to one who has left."""
    query = soql.query(_FIELDS, "User", order="Id ASC")
    replies = pages(api, "read owners", query)
    return [_owner(row) async for reply in replies for row in reply.json["records"]]


def _owner(row: Mapping[str, Any]) -> Owner:
    return Owner(
        id=row["Id"],
        name=row.get("Name") or "",
        email=row.get("Email") or None,
        active=row.get("IsActive") is not False,
    )
