"""The HubSpot connector: what it declares, and its roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from dovetail.connector_sdk.auth import BearerToken
from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import (
    Cursor,
    Owner,
    Page,
    RemoteRecord,
    Write,
    WriteResult,
)
from dovetail.connector_sdk.response import ApiResponse, ErrorDetail
from dovetail.connector_sdk.spec import Capability, ErrorRule, Guarantee, RateLimit, Resource
from dovetail.connector_sdk.webhook import WebhookEvent, WebhookRequest
from dovetail.connectors.hubspot import change, explanation, fetch, find, owner, webhook
from dovetail.connectors.hubspot.association import tell_edges
from dovetail.connectors.hubspot.batch import Batch
from dovetail.connectors.hubspot.crm_object import OBJECTS
from dovetail.connectors.hubspot.edge import edges_among, properties_alone, without_edges
from dovetail.connectors.hubspot.grant import GRANTS
from dovetail.connectors.hubspot.pipeline import Pipelines
from dovetail.connectors.hubspot.property import Properties
from dovetail.errors import (
    PermissionDeniedError,
    RateLimitedError,
)


class HubSpot(Connector):
    """
    Contacts, companies, deals and tickets of HubSpot's CRM.

    Creates carry a unique property, `dovetail_id`, which `prepare` adds to each object of the
    account. Where the credentials may not add properties, the uniqueness of e-mail addresses takes
    its place, and other objects are looked up by their values. A company's domain is not unique
    at HubSpot: it is found by search, which shows a new company after about half a minute.

    Associations are fields, `associations.companies` and `associations.contacts`: read with each
    page, written after the records. A primary company is the one that counts. HubSpot may change
    an association without changing its record's time: webhooks tell of it at once, and otherwise
    it is seen with the record's next change, or within a day.
    """

    platform = "hubspot"
    title = "HubSpot"
    base_url = "https://api.hubapi.com"
    docs_url = "https://developers.hubspot.com/docs/api/crm/understanding-the-crm"
    auth = BearerToken()
    grants = GRANTS
    limits = (
        RateLimit("burst", 100, per_s=10, setting="burst_limit"),
        RateLimit("search", 5, per_s=1, path="*/search"),
        RateLimit("daily", 250_000, per_s=86_400, setting="daily_limit"),
    )
    resources = tuple(one.resource for one in OBJECTS.values())
    error_rules = (
        ErrorRule(PermissionDeniedError, code="MISSING_SCOPES"),
        # The account moves between data centres; Retry-After says for how long.
        ErrorRule(RateLimitedError, status=477),
    )

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self._properties = Properties(api)
        self._pipelines = Pipelines(api)

    @classmethod
    def explain(cls, response: ApiResponse) -> ErrorDetail:
        """Return what HubSpot says about an error."""
        return explanation.explain(response)

    @classmethod
    def remaining(cls, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Return what the headers say is left; searches carry none."""
        return explanation.remaining(headers)

    @classmethod
    def sizes(cls, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Return what the account's plan allows."""
        return explanation.sizes(headers)

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
        """Return the names of the object's properties, the account's own ones too."""
        edges = {edge.field for edge in edges_among(resource.name, resource.references)}
        return await self._properties.names(resource) | edges

    async def prepare(self, resource: Resource) -> None:
        """Make sure of our unique property, or find that the account does not allow it."""
        await self._properties.prepare(resource)

    def guarantees(self, resource: Resource) -> Mapping[str, Guarantee]:
        """Return how writes stay single; without our property, creates are looked up."""
        found = dict(super().guarantees(resource))
        lacks_key = self._properties.has_key(resource) is False
        return found | ({"create": Guarantee.LOOK_UP} if lacks_key else {})

    def cursor_at(self, resource: Resource, since: datetime) -> Cursor:
        """Return the cursor that reads every change made at or after *since*."""
        return change.cursor_at(resource, since)

    async def read_page(
        self, resource: Resource, fields: Sequence[str], cursor: Cursor | None
    ) -> Page:
        """Return the next records of the first scan, then the next that changed."""
        self.require(resource, Capability.READ_CHANGES)
        page = await change.read_page(self.api, resource, without_edges(fields), cursor)
        told = await self._tell(resource, page.records, fields)
        return msgspec.structs.replace(page, records=[one for one in told if one is not None])

    async def read_many(
        self, resource: Resource, ids: Sequence[str], fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return records by id; one that was merged names the record that it became."""
        self.require(resource, Capability.READ_MANY)
        found = await fetch.read_many(self.api, resource, ids, without_edges(fields))
        return await self._tell(resource, found, fields)

    async def find_many(
        self, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[RemoteRecord]]:
        """Return records by a unique property (any e-mail address), or companies by domain."""
        self.require(resource, Capability.FIND)
        found = await find.find_many(
            self.api, resource, field, values, without_edges(fields), self._properties
        )
        flat = [record for records in found.values() for record in records]
        told = await self._tell(resource, flat, fields)
        whole = iter([one for one in told if one is not None])
        return {value: [next(whole) for _ in records] for value, records in found.items()}

    async def write(
        self, resource: Resource, writes: Sequence[Write], fields: Sequence[str]
    ) -> list[WriteResult]:
        """Create, update and archive records, then associate them; a batch call for each kind."""
        has_key = await self._has_key(resource)
        batch = Batch(self.api, resource, self._pipelines, self._properties, has_key)
        return await batch.write(writes, fields)

    async def look_up(
        self, resource: Resource, creates: Sequence[Write], since: datetime, fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return the records that lost creates made: by our key, else by what identifies them."""
        found = await find.look_up(
            self.api,
            resource,
            [properties_alone(write) for write in creates],
            since,
            without_edges(fields),
            has_key=await self._has_key(resource),
        )
        return await self._tell(resource, found, fields)

    async def read_owners(self) -> list[Owner]:
        """Return every owner, those who have left too."""
        return await owner.read_owners(self.api)

    async def _tell(
        self, resource: Resource, records: Sequence[RemoteRecord | None], fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        typed = await self._properties.tell(resource, records, without_edges(fields))
        return await tell_edges(self.api, resource, typed, fields)

    async def _has_key(self, resource: Resource) -> bool:
        known = self._properties.has_key(resource)
        return await self._properties.prepare(resource) if known is None else known

    def verify(self, request: WebhookRequest, secrets: Sequence[str], now: datetime) -> None:
        """Accept what HubSpot signed (version 3)."""
        webhook.verify(request, secrets, now)

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        """Return the changes that the body tells of."""
        return webhook.parse(request)

    async def subscribe(self, target_url: str, fields: dict[str, Sequence[str]]) -> bool:
        """Subscribe with a public app's developer key; False without one."""
        return await webhook.subscribe(self.api, target_url, fields)
