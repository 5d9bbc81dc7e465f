"""The HubSpot portal: routes, limits, errors and the writes of people."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dovetail.core.clock import Clock
from dovetail.core.transport import Transport
from dovetail.simulator_sdk.base import Simulator, json_response
from dovetail.simulator_sdk.fault import Fault
from dovetail.simulator_sdk.people import Person
from dovetail.simulator_sdk.record import Record, Table
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulator_sdk.webhook import WebhookSender
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.access import ALL_SCOPES, Access
from dovetail.simulators.hubspot.association_api import AssociationApi
from dovetail.simulators.hubspot.batch_api import BatchApi
from dovetail.simulators.hubspot.catalog import OBJECT_TYPES, ObjectType, group_of
from dovetail.simulators.hubspot.directory_api import OWNERS, DirectoryApi
from dovetail.simulators.hubspot.legacy_association_api import LegacyAssociationApi
from dovetail.simulators.hubspot.lifecycle import follow_deal
from dovetail.simulators.hubspot.linking import Linker
from dovetail.simulators.hubspot.oauth_api import AUTHORIZE_PATH, TOKEN_PATH, OAuthApi, bad
from dovetail.simulators.hubspot.object_api import ObjectApi
from dovetail.simulators.hubspot.pipeline_api import PipelineApi
from dovetail.simulators.hubspot.property import LIFECYCLE_STAGES
from dovetail.simulators.hubspot.property_api import PropertyApi
from dovetail.simulators.hubspot.property_group_api import PropertyGroupApi
from dovetail.simulators.hubspot.quota import Quota, limited
from dovetail.simulators.hubspot.search_api import SearchApi
from dovetail.simulators.hubspot.store import Change, Fields, ObjectStore
from dovetail.simulators.hubspot.webhook_api import WebhookApi

# Ten retries within 24 hours: the sum, jitter included, stays below a day.
RETRY_DELAYS_S = (60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 4800.0, 9600.0, 19200.0, 38400.0)

_MOVING = 477
_MOVE_S = 600.0
_MAX_URL_BYTES = 16_384
_DATED_PATH = re.compile(r"/crm/objects/\d{4}-\d{2}/")

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_COMPANY_COLUMNS = {
    "name": "name",
    "domain": "domain",
    "phone": "phone",
    "website": "website",
    "industry": "industry",
    "street": "address",
    "city": "city",
    "state": "state",
    "postal_code": "zip",
    "country": "country",
    "employees": "numberofemployees",
    "annual_revenue": "annualrevenue",
    "owner_id": "hubspot_owner_id",
}


class HubSpotSimulator(Simulator):
    """
    One HubSpot portal with a private app and a public (developer) app.

    Args:
        clock: The platform's time.
        rng: Source of everything random.
        transport: Carries webhooks.
        base_url: Own public URL.
        records: People to seed as contacts.
        seed: Which people.
        burst_limit: Calls in any 10 seconds: 100 on Free and Starter, 190 on Professional.
        daily_limit: Calls in a day (UTC).
        search_limit: Searches in any second.
        search_lag_s: Seconds until a write appears in search.
        scopes: What the app was granted; all when None.
        keeps_primary_id: Whether a merge keeps the primary record's id, as in some portals.
        numeric_link_ids: Whether lists of links give ids as JSON numbers, as some answers do.
        deals_move_lifecycle: Whether deals move the lifecycle stage of whom they are linked to.
        webhook_delay_s: Seconds in which events are collected into one request.
        webhook_retry_delays_s: Seconds before each retry of a webhook.
    """

    platform: ClassVar[str] = "hubspot"
    title: ClassVar[str] = "HubSpot"
    resources: ClassVar[Mapping[str, str]] = {
        name: kind.type_id for name, kind in OBJECT_TYPES.items()
    }
    columns: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "contacts": {
            "first_name": "firstname",
            "last_name": "lastname",
            "email": "email",
            "phone": "phone",
            "mobile_phone": "mobilephone",
            "company_name": "company",
            "job_title": "jobtitle",
            "street": "address",
            "city": "city",
            "state": "state",
            "postal_code": "zip",
            "country": "country",
            "lifecycle_stage": "lifecyclestage",
            "owner_id": "hubspot_owner_id",
        },
        "companies": _COMPANY_COLUMNS,
    }
    ui_source: ClassVar[str] = "CRM_UI"
    authorize_path: ClassVar[str] = AUTHORIZE_PATH
    token_path: ClassVar[str] = TOKEN_PATH

    def __init__(  # noqa: PLR0913 - what differs from portal to portal
        self,
        *,
        clock: Clock,
        rng: random.Random,
        transport: Transport,
        base_url: str = "",
        records: int = 0,
        seed: int = 0,
        burst_limit: int = 100,
        daily_limit: int = 250_000,
        search_limit: int = 5,
        search_lag_s: float = 2.0,
        scopes: Collection[str] | None = None,
        keeps_primary_id: bool = False,
        numeric_link_ids: bool = False,
        deals_move_lifecycle: bool = False,
        webhook_delay_s: float = 0.1,
        webhook_retry_delays_s: Sequence[float] = RETRY_DELAYS_S,
    ) -> None:
        self._access = Access(self, now=self.now, scopes=ALL_SCOPES if scopes is None else scopes)
        self._webhook_api = WebhookApi(self)
        self.linker = Linker(self)
        super().__init__(
            clock=clock,
            rng=rng,
            transport=transport,
            base_url=base_url,
            records=records,
            seed=seed,
        )
        self.search_lag_s = search_lag_s
        self._burst_limit = burst_limit
        self._daily_limit = daily_limit
        self._search_limit = search_limit
        self._keeps_primary_id = keeps_primary_id
        self.numeric_link_ids = numeric_link_ids
        self._deals_move_lifecycle = deals_move_lifecycle
        self.portal_id = self.rng.randrange(10_000_000, 50_000_000)
        self.webhook_secret = str(self._uuid())
        self.credentials = self._new_credentials()
        self.webhooks = WebhookSender(
            clock=clock,
            rng=random.Random(self.rng.getrandbits(64)),
            transport=transport,
            faults=self.faults,
            build=self._webhook_api.build_request,
            delay_s=webhook_delay_s,
            retry_delays_s=webhook_retry_delays_s,
        )

    def routes(self) -> Sequence[Route]:
        """Return every route; the more special paths come first."""
        return [
            *SearchApi(self).routes(),
            *BatchApi(self).routes(),
            *AssociationApi(self).routes(),
            *LegacyAssociationApi(self).routes(),
            *ObjectApi(self).routes(),
            *PropertyGroupApi(self).routes(),
            *PropertyApi(self).routes(),
            *PipelineApi(self).routes(),
            *DirectoryApi(self).routes(),
            *self._webhook_api.routes(),
            *OAuthApi(self, self._access).routes(),
        ]

    def build(self) -> dict[str, Table]:
        """Create an empty portal."""
        self.store = ObjectStore(
            now=self.now,
            rng=random.Random(self.rng.getrandbits(64)),
            owners=frozenset(owner["id"] for owner in OWNERS if not owner["archived"]),
            tell=self.tell,
            keeps_primary_id=self._keeps_primary_id,
        )
        self._quota = Quota(
            clock=self.clock,
            now=self.now,
            burst=self._burst_limit,
            daily=self._daily_limit,
            searches=self._search_limit,
        )
        self.limits = self._quota.windows
        self._webhook_api.clear(random.Random(self.rng.getrandbits(64)))
        self._access.clear(random.Random(self.rng.getrandbits(64)))
        self._access.install(self.credentials["refresh_token"])
        return self.store.tables

    def seed_person(self, person: Person, number: int) -> None:
        """Insert a contact."""
        kind = OBJECT_TYPES["contacts"]
        names = self.columns["contacts"]
        fields: Fields = {names[name]: value for name, value in person.values().items()}
        if person.email is not None:
            fields["email"] = person.email.strip().lower()
        if number % 3:
            fields["lifecyclestage"] = LIFECYCLE_STAGES[number % 6]
        self.store.insert(
            kind,
            fields,
            created_at=_whole_millis(person.created_at),
            modified_at=_whole_millis(max(person.modified_at, person.created_at)),
            source="IMPORT",
            # Writes reach the index in the order of their times; these are older than all others.
            indexed_at=_LONG_AGO,
        )

    async def admit(self, request: Request, template: str) -> Response | None:
        """Check credentials, scopes and limits, in this order."""
        if len(request.url.path) + len(request.url.query) > _MAX_URL_BYTES:
            return Response("URI Too Long", status_code=414, media_type="text/plain")
        try:
            if template.startswith("/oauth/"):
                return None
            if template.startswith("/webhooks/"):
                self._access.check_developer_key(request)
                return None
            self._access.check_bearer(request)
            self._check_limits(request, template)
            self._access.check_scope(request)
            self._check_lock(request)
        except RefusedError as error:
            return self.refuse(error, request)
        return None

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call; paths with a date instead of a version mean the same."""
        path = _DATED_PATH.sub("/crm/v3/objects/", scope.get("path", ""), count=1)
        await super().app({**scope, "path": path}, receive, send)

    def finish(self, request: Request, template: str, response: Response) -> None:
        """Add the rate headers; search and OAuth answers have none."""
        response.headers["x-hubspot-correlation-id"] = str(self._uuid())
        if template.endswith("/search") or template.startswith(("/oauth/", "/webhooks/")):
            return
        self._quota.add_headers(response, is_oauth=self._access.is_oauth(request))

    def refuse(self, error: RefusedError, request: Request) -> Response:
        """Return HubSpot's error body."""
        body = refusal.body_of(error, correlation_id=str(self._uuid()))
        return json_response(body, error.status)

    def fault_answer(self, fault: Fault, request: Request) -> Response:
        """Return a 429, a 5xx or the 401 of an expired token."""
        match fault.kind:
            case "rate_limit":
                return self.refuse(self._limited("TEN_SECONDLY_ROLLING"), request)
            case "expired_token" if request.url.path.endswith("/token"):
                gone = bad("BAD_REFRESH_TOKEN", "missing or invalid refresh token")
                return self.refuse(gone, request)
            case "expired_token":
                return self.refuse(self._access.expired(self.now()), request)
            case _:
                status = fault.status or 503
                answer = self.refuse(RefusedError("internal error", status=status), request)
                if status == _MOVING:
                    answer.headers["Retry-After"] = str(round(fault.length_s or _MOVE_S))
                return answer

    def create_record(self, resource: str, fields: Mapping[str, Any], *, source: str) -> Record:
        """Create a record as the API would."""
        kind = OBJECT_TYPES[resource]
        return self.store.create(kind, self.store.check_create(kind, fields), source=source)

    def update_record(
        self, resource: str, id: str, fields: Mapping[str, Any], *, source: str
    ) -> Record:
        """Change a record as the API would; ``{"archived": false}`` alone restores it."""
        kind = OBJECT_TYPES[resource]
        if dict(fields) == {"archived": False}:
            return self.store.restore(kind, id, source=source)
        record = self._live(kind, id)
        changes = self.store.check_update(kind, record, fields)
        return self.store.update(kind, record, changes, source=source)

    def delete_record(self, resource: str, id: str, *, source: str) -> Record:
        """Archive a record."""
        kind = OBJECT_TYPES[resource]
        return self.store.archive(kind, self._live(kind, id), source=source)

    def merge_records(self, resource: str, id: str, other: str, *, source: str) -> Record:
        """Merge the other record into *id*; what remains has a new id."""
        return self.merge_by_id(OBJECT_TYPES[resource], id, other, source=source)

    def merge_by_id(self, kind: ObjectType, id: str, other: str, *, source: str) -> Record:
        """
        Merge two records by their ids.

        Raises:
            RefusedError: One does not exist, or both are the same.
        """
        primary, loser = self._live(kind, id), self._live(kind, other)
        if primary is loser:
            raise refusal.invalid("A record cannot be merged with itself")
        return self.store.merge(kind, primary, loser, source=source)

    def set_webhook_target(self, url: str | None) -> None:
        """Subscribe a URL to everything."""
        self._webhook_api.subscribe_all(url)

    def add_field(self, resource: str, described: Mapping[str, Any]) -> None:
        """Define a property as its API does; of text where *described* does not say otherwise."""
        _, kind, name = self.tables, OBJECT_TYPES[resource], described.get("name")
        usual = {"label": name, "type": "string", "fieldType": "text", "groupName": group_of(kind)}
        PropertyApi(self).define(kind, {**usual, **described})

    def field_names(self, resource: str) -> frozenset[str]:
        """Return the properties that may be written."""
        _ = self.tables  # builds the portal on first use
        defined = self.store.properties[resource]
        return frozenset(name for name, each in defined.items() if not each.read_only)

    def show_fields(self, record: Record) -> dict[str, Any]:
        """Return the stored properties with those that the platform computes."""
        kind = next(
            each
            for each in OBJECT_TYPES.values()
            if self.store.tables[each.name].get(record.id) is record
        )
        return {
            **{name: value for name, value in record.fields.items() if value is not None},
            **{name: self.store.value(kind, record, name) for name in kind.always},
        }

    def catch_up(self, kind: ObjectType, request: Request) -> None:
        """Let the search index show what it would show by now."""
        lag_s = self.lag_s(request, self.search_lag_s)
        self.store.search[kind.name].catch_up(now=self.clock.now(), lag_s=lag_s)

    def tell(self, change: Change) -> None:
        """Send webhooks about a change to whoever wants them."""
        if self._deals_move_lifecycle:
            follow_deal(self, change)
        events = self._webhook_api.events_of(change)
        if events and self.webhooks is not None:
            self.webhooks.emit(events)

    def _new_credentials(self) -> dict[str, str]:
        return {
            "access_token": f"pat-na1-{self._uuid()}",
            "app_id": str(self.rng.randrange(1_000_000, 9_000_000)),
            "developer_api_key": str(self._uuid()),
            "client_id": str(self._uuid()),
            "client_secret": self.webhook_secret,
            "refresh_token": f"na1-{self._uuid()}",
            "authorization_code": f"na1-{self._uuid()}",
        }

    def _live(self, kind: ObjectType, id: str) -> Record:
        record = self.store.resolve(kind, id)
        if record is None:
            raise refusal.not_found(f"no {kind.singular} {id!r} (deleted or never there)")
        return record

    def _check_limits(self, request: Request, template: str) -> None:
        refused_by = self._quota.admit(
            is_search=template.endswith("/search"), is_oauth=self._access.is_oauth(request)
        )
        if refused_by is not None:
            raise self._limited(refused_by)

    def _check_lock(self, request: Request) -> None:
        path = request.url.path
        writes = request.method != "GET" and not path.endswith(("/search", "/read"))
        if writes and self.faults.take("row_lock", path=path, method=request.method):
            raise RefusedError("The resource is locked; wait at least 2 seconds", status=423)

    def _limited(self, policy: str) -> RefusedError:
        return limited(policy, str(self._uuid()))

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.rng.getrandbits(128), version=4)


def _whole_millis(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
