"""A connector: one class per platform, made of values; it says what happened, decides nothing."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from dovetail.connector_sdk.guard import OPERATIONS, guarded
from dovetail.connector_sdk.record import Cursor, Owner, Page, RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.response import ApiResponse, ErrorDetail, plain_detail
from dovetail.connector_sdk.spec import (
    OWNERS,
    Capability,
    ConcurrencyLimit,
    ErrorRule,
    Guarantee,
    RateLimit,
    Resource,
)
from dovetail.errors import UnsupportedCapabilityError
from dovetail.model.crm import Owner as OwnerEntity

if TYPE_CHECKING:
    from dovetail.connector_sdk.auth import Auth
    from dovetail.connector_sdk.grant import Grant
    from dovetail.connector_sdk.http import Api
    from dovetail.connector_sdk.webhook import WebhookEvent, WebhookReply, WebhookRequest


OWNER_RESOURCE = Resource(
    name=OWNERS,
    entity=OwnerEntity,
    path="",
    key_field="email",
    key_is_unique=False,
    modified_field="",
    fields={"email": "email", "name": "name", "active": "active"},
    read_batch=100,
    write_batch=1,
    consistency_lag_s=0.0,
    capabilities=frozenset({Capability.READ_CHANGES, Capability.READ_MANY, Capability.FIND}),
)
"""What every platform with the role `Owners` holds as well, to be read only."""


class Connector(ABC):
    """
    Base of every platform. An instance speaks for one connection, through its `Api`.

    A connector never retries, sleeps or logs: it raises what happened and the runtime decides. It
    waits for nothing but the platform's own bulk jobs of a `write`.
    """

    platform: ClassVar[str]
    title: ClassVar[str]
    base_url: ClassVar[str]
    auth: ClassVar[Auth]
    grants: ClassVar[tuple[Grant, ...]] = ()
    limits: ClassVar[tuple[RateLimit, ...]]
    concurrency: ClassVar[tuple[ConcurrencyLimit, ...]] = ()
    resources: ClassVar[tuple[Resource, ...]]
    error_rules: ClassVar[tuple[ErrorRule, ...]] = ()
    docs_url: ClassVar[str] = ""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.owner_records: Records | None = None  # made by `owner.records_of`, once

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in OPERATIONS:
            if name in vars(cls):
                setattr(cls, name, guarded(name, vars(cls)[name]))

    @classmethod
    def explain(cls, response: ApiResponse) -> ErrorDetail:
        """Return what an error answer says, from the platform's own format."""
        return plain_detail(response)

    @classmethod
    def remaining(cls, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Return limit name -> calls left, where the platform's headers tell."""
        del headers
        return {}

    @classmethod
    def sizes(cls, headers: Mapping[str, str]) -> Mapping[str, int]:
        """Return limit name -> how large it is for this account, where the headers tell."""
        del headers
        return {}

    async def known_fields(self, resource: Resource) -> frozenset[str] | None:
        """Return the names of the fields that the account has, None where it cannot be asked."""
        del resource
        return None

    def guarantees(self, resource: Resource) -> Mapping[str, Guarantee]:
        """Return how writes stay single on this connection, which may have more than others."""
        found = dict(resource.guarantees)
        for setting, better in resource.guarantees_with.items():
            if self.api.settings.get(setting):
                found |= better
        return found

    @classmethod
    def resource(cls, name: str) -> Resource:
        """
        Return the resource called *name* (``contacts``).

        Raises:
            UnsupportedCapabilityError: The platform has no such resource.
        """
        for resource in cls.resources:
            if resource.name == name:
                return resource
        if name == OWNERS and issubclass(cls, Owners):
            return OWNER_RESOURCE
        known = ", ".join(resource.name for resource in cls.resources)
        raise UnsupportedCapabilityError(
            f"{cls.title} has no resource {name!r}. Choose one of: {known}.",
            platform=cls.platform,
            resource=name,
        )

    @classmethod
    def require(cls, resource: Resource, capability: Capability) -> None:
        """
        Refuse what the resource has not declared, before any request is sent.

        Raises:
            UnsupportedCapabilityError: It is not declared.
        """
        if capability not in resource.capabilities:
            raise UnsupportedCapabilityError(
                f"{cls.title} cannot {capability.value} {resource.name}. Ask only for what "
                "docs/connectors.md says it can.",
                platform=cls.platform,
                resource=resource.name,
                capability=capability.value,
            )


@runtime_checkable
class Account(Protocol):
    """Tells which account the credentials belong to; the connection test of ``connect``."""

    async def identify(self) -> str:
        """
        Return a stable name of the account (portal id, org id), with the cheapest call there is.

        Raises:
            AuthenticationError: The credentials were refused.
        """
        ...


@runtime_checkable
class Records(Protocol):
    """The role of a platform that holds records: read changes, read and write in batches."""

    async def prepare(self, resource: Resource) -> None:
        """Make the platform ready for `write` (a key property, …); safe to repeat."""
        ...

    def cursor_at(self, resource: Resource, since: datetime) -> Cursor:
        """Return the cursor that reads every change made at or after *since*."""
        ...

    async def read_page(
        self, resource: Resource, fields: Sequence[str], cursor: Cursor | None
    ) -> Page:
        """
        Return the next changed records after *cursor* (None: from the beginning of time).

        A change is never skipped: the connector re-reads the platform's consistency lag. A page
        may therefore hold records that were seen before.

        Raises:
            CursorExpiredError: Start again with ``cursor=None``.
        """
        ...

    async def read_many(
        self, resource: Resource, ids: Sequence[str], fields: Sequence[str]
    ) -> list[RemoteRecord | None]:
        """Return the records in the order of *ids*, None for each that is gone; any number."""
        ...

    async def find_many(
        self, resource: Resource, field: str, values: Sequence[str], fields: Sequence[str]
    ) -> dict[str, list[RemoteRecord]]:
        """Return value -> the records that have it in *field*; values without one are missing."""
        ...

    async def write(
        self, resource: Resource, writes: Sequence[Write], fields: Sequence[str]
    ) -> list[WriteResult]:
        """
        Apply the writes in the platform's batch calls; one result per write, in order.

        *fields* are read back into each result's `record`. At most `resource.write_batch` writes,
        as the sync and handlers keep to; any number where the resource has `bulk_write_from`, for
        those who call this method themselves.

        Raises:
            TransientError: Nothing was applied at all.
            OutcomeUnknownError: Nobody knows what was applied: `look_up` before writing again.
        """
        ...

    async def look_up(
        self,
        resource: Resource,
        creates: Sequence[Write],
        since: datetime,
        fields: Sequence[str],
    ) -> list[RemoteRecord | None]:
        """Return, per create whose answer was lost, the record it made after *since*, if any."""
        ...


@runtime_checkable
class Owners(Protocol):
    """The role of a platform whose records belong to users of the account."""

    async def read_owners(self) -> list[Owner]:
        """Return every user that a record can belong to, those who have left included."""
        ...


@runtime_checkable
class Webhooks(Protocol):
    """The role of a platform that calls us when something changes."""

    def verify(self, request: WebhookRequest, secrets: Sequence[str], now: datetime) -> None:
        """
        Accept the request or raise; any of *secrets* may have signed it (rotation).

        Raises:
            WebhookRejectedError: The signature is missing, wrong or too old; status 401.
        """
        ...

    def parse(self, request: WebhookRequest) -> list[WebhookEvent]:
        """
        Return what the body tells, one item per changed record.

        Raises:
            WebhookRejectedError: The body is not what the platform sends; status 400.
        """
        ...

    async def subscribe(self, target_url: str, fields: dict[str, Sequence[str]]) -> bool:
        """
        Ask the platform to call *target_url* for changes of resource -> its fields.

        Returns False when the connection's credentials do not allow it (a person does it in the
        platform's own settings).
        """
        ...


@runtime_checkable
class Handshakes(Protocol):
    """The role of a platform that asks whether a webhook address is ours before it uses it."""

    def handshake(
        self, request: WebhookRequest, secrets: Sequence[str], now: datetime
    ) -> WebhookReply | None:
        """
        Return the answer to a handshake, None for a request that is none.

        Raises:
            WebhookRejectedError: It is a handshake, but not with what we agreed on; status 401.
        """
        ...
