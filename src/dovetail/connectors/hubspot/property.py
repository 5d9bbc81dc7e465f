"""The properties that an account has, through the properties endpoints; our own one is added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec

from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.crm_object import KEY_PROPERTY, object_of
from dovetail.connectors.hubspot.lifecycle import LIFECYCLE
from dovetail.connectors.hubspot.property_kind import Kind, kind_of, typed
from dovetail.errors import PermissionDeniedError, RecordConflictError, RecordNotFoundError

# HubSpot's own, and texts in every account.
_TEXTS = (LIFECYCLE, KEY_PROPERTY, "hs_object_id", "createdate")


class Properties:
    """What one connection may know of properties; which are unique is asked once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._unique: dict[tuple[str, str], bool] = {}
        self._kinds: dict[str, dict[str, Kind]] = {}

    async def names(self, resource: Resource) -> frozenset[str]:
        """Return the names of an object's properties, the account's own ones too."""
        return frozenset(await self._read(resource))

    async def tell(
        self, resource: Resource, records: Sequence[RemoteRecord | None], fields: Iterable[str]
    ) -> list[RemoteRecord | None]:
        """Return records with the values of the account's own properties as what they are."""
        told = {name for record in records if record for name in record.fields}
        own = told & _own(resource, fields)
        if not own:
            return list(records)
        try:
            kinds = self._kinds.get(resource.name)
            if kinds is None or not kinds.keys() >= own:  # somebody may have just added one
                kinds = await self._read(resource)
        except PermissionDeniedError:
            return list(records)
        return [
            record
            and msgspec.structs.replace(
                record,
                fields={
                    name: typed(kinds.get(name, ""), value) if name in own else value
                    for name, value in record.fields.items()
                },
            )
            for record in records
        ]

    async def learn(self, resource: Resource, fields: Iterable[str]) -> bool:
        """Ask what the account's own properties are, unless it is known; False where denied."""
        if resource.name not in self._kinds and _own(resource, fields):
            try:
                await self._read(resource)
            except PermissionDeniedError:
                return False
        return True

    async def _read(self, resource: Resource) -> dict[str, Kind]:
        reply = await self._api.request(
            "GET",
            object_of(resource).properties_path,
            operation=f"list the properties of {resource.name}",
            repeatable=True,
            expects=("results",),
        )
        found = {item["name"]: kind_of(item) for item in reply.json["results"]}
        self._kinds[resource.name] = found
        return found

    async def is_unique(self, resource: Resource, name: str) -> bool:
        """Return whether no two records of the account may have the same value."""
        if resource.key_is_unique and name == resource.key_field:
            return True
        known = self._unique.get((resource.name, name))
        if known is None:
            found = await self._look(resource, name)
            if found is None:
                return False  # somebody may add it yet
            known = self._unique[resource.name, name] = found
        return known

    def has_key(self, resource: Resource) -> bool | None:
        """Return whether creates carry our property; None while nobody has looked."""
        return self._unique.get((resource.name, KEY_PROPERTY))

    async def prepare(self, resource: Resource) -> bool:
        """Make sure of our unique property, or find that the account does not allow it."""
        try:
            found = await self._look(resource, KEY_PROPERTY)
            has_key = await self._add_key(resource) if found is None else found
        except PermissionDeniedError:
            has_key = False
        self._unique[resource.name, KEY_PROPERTY] = has_key
        return has_key

    async def _look(self, resource: Resource, name: str) -> bool | None:
        try:
            reply = await self._api.request(
                "GET",
                f"{object_of(resource).properties_path}/{quote(name, safe='')}",
                operation=f"look for the property {name} of {resource.name}",
                repeatable=True,
                expects=("name",),
            )
        except RecordNotFoundError:
            return None
        return bool(reply.json.get("hasUniqueValue"))

    async def _add_key(self, resource: Resource) -> bool:
        crm_object = object_of(resource)
        try:
            await self._api.request(
                "POST",
                crm_object.properties_path,
                operation=f"add the key property of {resource.name}",
                json={
                    "name": KEY_PROPERTY,
                    "label": "Dovetail id",
                    "description": (
                        f"Keeps a {crm_object.singular} from being created twice. Do not edit."
                    ),
                    "type": "string",
                    "fieldType": "text",
                    "groupName": crm_object.group,
                    "hasUniqueValue": True,
                },
                repeatable=True,
            )
        except RecordConflictError:
            return True  # someone else added it a moment ago
        except PermissionDeniedError:
            return False
        return True


def _own(resource: Resource, fields: Iterable[str]) -> set[str]:
    """Return the fields that only this account has, whose types are not known here."""
    known = {*resource.fields, *resource.references, resource.modified_field, *_TEXTS}
    return set(fields) - known
