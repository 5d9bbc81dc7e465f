"""The Salesforce connector: what it declares, and its roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from dovetail.connector_sdk.auth import BearerToken
from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.grant import AuthorizationCode, ClientCredentials, JwtBearer
from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.record import Cursor, Owner, Page, RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.response import ApiResponse, ErrorDetail
from dovetail.connector_sdk.spec import Capability, ConcurrencyLimit, Guarantee, RateLimit, Resource
from dovetail.connectors.salesforce import change, explanation, fetch, find, owner, soql, watermark
from dovetail.connectors.salesforce.bulk_write import Jobs
from dovetail.connectors.salesforce.description import Descriptions
from dovetail.connectors.salesforce.external_id import SETTING, check_field, external_id_field
from dovetail.connectors.salesforce.sobject import OBJECTS
from dovetail.connectors.salesforce.write import RecordWriter
from dovetail.errors import MalformedResponseError

_LOGIN = "https://login.salesforce.com"
_TOKEN = f"{_LOGIN}/services/oauth2/token"
_KEEPS = ("scope", "instance_url")
_CAPABILITIES = {
    "create": Capability.CREATE,
    "update": Capability.UPDATE,
    "delete": Capability.DELETE,
}


class Salesforce(Connector):
    """
    Accounts (companies), contacts, opportunities (deals) and cases (tickets) of Salesforce.

    The address of the connection is the org's own (``https://acme.my.salesforce.com``). Where the
    setting ``external_id_field`` names a custom field that is an external id and unique, creates
    carry our key in it, and Salesforce itself refuses a second record; each object that
    is written needs the field. ``contacts=Hub_Key__c,companies=Erp_Key__c`` names one for each
    object; those that are left out have none. Companies, deals and tickets have no natural key at
    Salesforce: an account's website is free text that branches share. Deals need a name, a stage
    and a close date. Deletes are read from the recycle bin; what was removed from it is found by
    asking for every record by id, once a day. Very many records are read by bulk jobs,
    and written by them where so many are given to one `write`, as neither the sync nor handlers do.
    The setting ``api_version`` is 60.0 unless it says otherwise.
    """

    platform = "salesforce"
    title = "Salesforce"
    base_url = _LOGIN
    docs_url = "https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/"
    auth = BearerToken()
    # No answer tells how long a token lives, so it is renewed when a call is refused.
    grants = (
        AuthorizationCode(
            authorize_url=f"{_LOGIN}/services/oauth2/authorize",
            tokens_url=_TOKEN,
            scopes=("api", "refresh_token"),
            keeps=_KEEPS,
        ),
        ClientCredentials(tokens_url=_TOKEN, keeps=_KEEPS),
        JwtBearer(tokens_url=_TOKEN, audience=_LOGIN, keeps=_KEEPS),
    )
    limits = (
        RateLimit("daily", 100_000, per_s=86_400, setting="daily_limit"),
        RateLimit("query-jobs", 10_000, per_s=86_400, path="*/jobs/query"),
        # Of 10,000 rows at most: 150 million a day.
        RateLimit("ingest-jobs", 15_000, per_s=86_400, path="*/jobs/ingest"),
    )
    # It counts calls of 20 s and longer only, but nobody knows beforehand which those will be.
    concurrency = (ConcurrencyLimit("concurrent", 25, setting="concurrent_limit"),)
    resources = tuple(one.resource for one in OBJECTS.values())
    error_rules = explanation.ERROR_RULES

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self._descriptions = Descriptions(api)

    @classmethod
    def explain(cls, response: ApiResponse) -> ErrorDetail:
        """Return what Salesforce says about an error."""
        return explanation.explain(response)

    @classmethod
    def remaining(cls, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Return what is left of the org's day: ``api-usage=10018/100000; api-bursts=1/750``."""
        usage = explanation.usage(headers)
        return {"daily": max(usage[1] - usage[0], 0)} if usage else {}

    @classmethod
    def sizes(cls, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Return how many calls the org's licences allow a day."""
        usage = explanation.usage(headers)
        return {"daily": usage[1]} if usage else {}

    async def identify(self) -> str:
        """Return the org's id."""
        reply = await fetch.ask(
            self.api, "identify the org", "SELECT Id, Name FROM Organization LIMIT 1"
        )
        for row in reply.json["records"]:
            return str(row["Id"])
        raise MalformedResponseError(
            "Salesforce showed no Organization to this user. Give the user the permission to use "
            "the API and to read the organization, then `dovetail connect salesforce`.",
            platform=self.platform,
            operation="identify the org",
        )

    async def known_fields(self, resource: Resource) -> frozenset[str] | None:
        """Return the names of the fields that the user may write."""
        return frozenset(
            field["name"]
            for field in (await self._descriptions.fields(resource)).values()
            if field.get("createable") or field.get("updateable")
        )

    def guarantees(self, resource: Resource) -> Mapping[str, Guarantee]:
        """Return how writes stay single: creates by our key, where the object has a field."""
        better = resource.guarantees_with.get(SETTING, {}) if self._key_field(resource) else {}
        return {**resource.guarantees, **better}

    async def prepare(self, resource: Resource) -> None:
        """
        Make sure of the external id field, where the connection names one.

        Raises:
            ConfigError: It does not exist, or does not keep a record from being made twice.
        """
        name = self._key_field(resource)
        if name is None:
            return
        found = await self._descriptions.fields(resource)
        check_field(resource, name, found.get(name))

    def cursor_at(self, resource: Resource, since: datetime) -> Cursor:
        """Return the cursor that reads every change made at or after *since*."""
        del resource
        return watermark.cursor_at(soql.time(since))

    async def read_page(
        self, resource: Resource, fields: Sequence[str], cursor: Cursor | None
    ) -> Page:
        """Return the next records that changed, were deleted or were merged."""
        self.require(resource, Capability.READ_CHANGES)
        return await change.read_page(self.api, self._descriptions, resource, fields, cursor)

    async def read_many(
        self, resource: Resource, ids: Sequence[str], fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return records by id; of a merged one, the record that now stands for it."""
        self.require(resource, Capability.READ_MANY)
        return await fetch.read_many(self.api, resource, ids, fields)

    async def find_many(
        self, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[RemoteRecord]]:
        """Return records by the text in one field; several may have the same."""
        self.require(resource, Capability.FIND)
        return await find.find_many(self.api, resource, field, values, fields)

    async def write(
        self, resource: Resource, writes: Sequence[Write], fields: Sequence[str]
    ) -> list[WriteResult]:
        """Create, update and delete records, by collections or by jobs, and read them back."""
        for action in {write.action for write in writes}:
            self.require(resource, _CAPABILITIES[action])
        named = {name for write in writes for name in write.fields}
        types = await self._descriptions.types(resource, named)
        key = self._key_field(resource)
        return await RecordWriter(self.api, resource, types, key).write(writes, fields)

    async def look_up(
        self, resource: Resource, creates: Sequence[Write], since: datetime, fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return the records that lost creates made, by our key or else by their values."""
        name = self._key_field(resource)
        await Jobs(self.api, resource, name).check_none_runs(since)
        if name is None:
            return await find.look_up(self.api, resource, creates, since, fields)
        keys = [write.key for write in creates]
        found = await find.find_many(self.api, resource, name, keys, fields)
        return [found[key][0] if key in found else None for key in keys]

    async def read_owners(self) -> list[Owner]:
        """Return the users of the org."""
        return await owner.read_owners(self.api)

    def _key_field(self, resource: Resource) -> str | None:
        return external_id_field(self.api.settings, resource)
