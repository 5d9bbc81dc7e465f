"""The HubSpot connector: what it declares, and its roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dovetail.connector_sdk.auth import BearerToken
from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Cursor, Page, RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.response import ApiResponse, ErrorDetail
from dovetail.connector_sdk.spec import Capability, ErrorRule, RateLimit, Resource
from dovetail.connector_sdk.webhook import WebhookEvent, WebhookRequest
from dovetail.connectors.hubspot import change, explanation, fetch, webhook
from dovetail.connectors.hubspot.contact import CONTACTS, KEY_PROPERTY
from dovetail.connectors.hubspot.grant import GRANTS
from dovetail.connectors.hubspot.write import ContactWriter
from dovetail.errors import (
    PermissionDeniedError,
    RateLimitedError,
    RecordConflictError,
    RecordNotFoundError,
)

_PROPERTIES = "/crm/v3/properties/contacts"
_REMAINING = {
    "burst": "x-hubspot-ratelimit-remaining",
    "daily": "x-hubspot-ratelimit-daily-remaining",
}


_SIZES = {"burst": "x-hubspot-ratelimit-max", "daily": "x-hubspot-ratelimit-daily"}


class HubSpot(Connector):
    """
    Contacts of HubSpot's CRM.

    Creates carry a unique property, `dovetail_id`, which `prepare` adds to the account. Where the
    credentials may not add properties, the uniqueness of e-mail addresses takes its place.
    """

    platform = "hubspot"
    title = "HubSpot"
    base_url = "https://api.hubapi.com"
    docs_url = "https://developers.hubspot.com/docs/api/crm/contacts"
    auth = BearerToken()
    grants = GRANTS
    limits = (
        RateLimit("burst", 100, per_s=10, setting="burst_limit"),
        RateLimit("search", 5, per_s=1, path="*/search"),
        RateLimit("daily", 250_000, per_s=86_400, setting="daily_limit"),
    )
    resources = (CONTACTS,)
    error_rules = (
        ErrorRule(PermissionDeniedError, code="MISSING_SCOPES"),
        # The account moves between data centres; Retry-After says for how long.
        ErrorRule(RateLimitedError, status=477),
    )

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self._has_key: bool | None = None

    @classmethod
    def explain(cls, response: ApiResponse) -> ErrorDetail:
        """Return what HubSpot says about an error."""
        return explanation.explain(response)

    @classmethod
    def remaining(cls, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Return what the headers say is left; searches carry none."""
        return explanation.numbers(headers, _REMAINING)

    @classmethod
    def sizes(cls, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Return what the account's plan allows."""
        return explanation.numbers(headers, _SIZES)

    async def identify(self) -> str:
        """Return the portal's id."""
        reply = await self.api.request(
            "GET",
            "/account-info/v3/details",
            operation="identify the account",
            repeatable=True,
            expects=("portalId",),
        )
        return str(reply.json["portalId"])

    async def known_fields(self, resource: Resource) -> frozenset[str] | None:
        """Return the names of the account's contact properties."""
        del resource
        reply = await self.api.request(
            "GET",
            _PROPERTIES,
            operation="list contact properties",
            repeatable=True,
            expects=("results",),
        )
        return frozenset(item["name"] for item in reply.json["results"])

    async def prepare(self, resource: Resource) -> None:
        """Make sure of our unique property, or find that the account does not allow it."""
        del resource
        try:
            reply = await self.api.request(
                "GET",
                f"{_PROPERTIES}/{KEY_PROPERTY}",
                operation="look for the key property",
                repeatable=True,
                expects=("name",),
            )
            self._has_key = bool(reply.json.get("hasUniqueValue"))
        except RecordNotFoundError:
            self._has_key = await self._add_key()
        except PermissionDeniedError:
            self._has_key = False

    async def _add_key(self) -> bool:
        try:
            await self.api.request(
                "POST",
                _PROPERTIES,
                operation="add the key property",
                json={
                    "name": KEY_PROPERTY,
                    "label": "Dovetail id",
                    "description": "Keeps a contact from being created twice. Do not edit.",
                    "type": "string",
                    "fieldType": "text",
                    "groupName": "contactinformation",
                    "hasUniqueValue": True,
                },
                repeatable=True,
            )
        except RecordConflictError:
            return True  # someone else added it a moment ago
        except PermissionDeniedError:
            return False
        return True

    def cursor_at(self, resource: Resource, since: datetime) -> Cursor:
        """Return the cursor that reads every change made at or after *since*."""
        return change.cursor_at(resource, since)

    async def read_page(
        self, resource: Resource, fields: Sequence[str], cursor: Cursor | None
    ) -> Page:
        """Return the next contacts of the first scan, then the next that changed."""
        self.require(resource, Capability.READ_CHANGES)
        return await change.read_page(self.api, resource, fields, cursor)

    async def read_many(
        self, resource: Resource, ids: Sequence[str], fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return contacts by id; one that was merged names the contact that it became."""
        self.require(resource, Capability.READ_MANY)
        return await fetch.read_many(self.api, resource, ids, fields)

    async def find_many(
        self, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[RemoteRecord]]:
        """Return contacts by e-mail address, secondary ones too."""
        self.require(resource, Capability.FIND)
        return await fetch.find_many(self.api, resource, field, values, fields)

    async def write(
        self, resource: Resource, writes: Sequence[Write], fields: Sequence[str]
    ) -> list[WriteResult]:
        """Create, update and archive contacts, one batch call for each kind."""
        return await (await self._writer(resource)).write(writes, fields)

    async def look_up(
        self, resource: Resource, creates: Sequence[Write], since: datetime, fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return the contacts that lost creates made, by our key or else by e-mail."""
        return await (await self._writer(resource)).look_up(creates, since, fields)

    async def _writer(self, resource: Resource) -> ContactWriter:
        if self._has_key is None:
            await self.prepare(resource)
        return ContactWriter(self.api, resource, bool(self._has_key))

    def verify(self, request: WebhookRequest, secrets: Sequence[str], now: datetime) -> None:
        """Accept what HubSpot signed (version 3)."""
        webhook.verify(request, secrets, now)

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        """Return the changes of contacts that the body tells."""
        return webhook.parse(request)

    async def subscribe(self, target_url: str, fields: dict[str, Sequence[str]]) -> bool:
        """Subscribe with a public app's developer key; False without one."""
        return await webhook.subscribe(self.api, target_url, fields.get(CONTACTS.name, ()))
