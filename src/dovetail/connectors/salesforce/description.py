"""What Salesforce says of an object's fields: asked once, and again when a name is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce.fetch import data_path

Field = Mapping[str, Any]


class Descriptions:
    """The fields of each object, as the user of the connection sees them."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._types: dict[str, dict[str, str]] = {}

    async def fields(self, resource: Resource) -> dict[str, Field]:
        """Return name -> what there is to say of the field, as it is now."""
        reply = await self._api.request(
            "GET",
            f"{data_path(self._api)}/sobjects/{resource.path}/describe",
            operation=f"describe {resource.name}",
            repeatable=True,
            expects=("fields",),
        )
        found = {field["name"]: field for field in reply.json["fields"]}
        self._types[resource.name] = {name: field["type"] for name, field in found.items()}
        return found

    async def types(self, resource: Resource, names: Iterable[str]) -> Mapping[str, str]:
        """Return name -> type of all fields; asked again when one of *names* is not known."""
        if set(names) - self._types.get(resource.name, {}).keys():
            await self.fields(resource)
        return self._types.get(resource.name, {})
