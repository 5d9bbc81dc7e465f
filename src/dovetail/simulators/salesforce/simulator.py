"""The Salesforce simulator: HTTP around an org."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.core.clock import Clock
from dovetail.core.transport import Transport
from dovetail.simulator_sdk.base import Endpoint, Simulator, json_response
from dovetail.simulator_sdk.fault import Fault
from dovetail.simulator_sdk.limit import WindowLimit
from dovetail.simulator_sdk.people import Person
from dovetail.simulator_sdk.record import Record, Table
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulator_sdk.registration import Registration
from dovetail.simulators.salesforce.answer import (
    INVALID_SESSION,
    LIMIT_EXCEEDED,
    answer_of,
    call_of,
    outage_of,
    refusal_of,
)
from dovetail.simulators.salesforce.bulk.job import Bulk
from dovetail.simulators.salesforce.bulk.loading import Loader
from dovetail.simulators.salesforce.bulk.shelf import JobShelf, rows_of
from dovetail.simulators.salesforce.campaign import CAMPAIGN, CAMPAIGN_MEMBER
from dovetail.simulators.salesforce.catalog import ACCOUNT, CASE, CONTACT, LEAD, OPPORTUNITY
from dovetail.simulators.salesforce.conversion import convert
from dovetail.simulators.salesforce.customizing import read_field
from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.identifier import IdSequence
from dovetail.simulators.salesforce.login import (
    APP_NAME,
    APP_SCOPE,
    AUTHORIZE_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    USER_INFO_PATH,
    LoginHost,
)
from dovetail.simulators.salesforce.org import Org
from dovetail.simulators.salesforce.record_view import RecordView, to_record
from dovetail.simulators.salesforce.refusal import SalesforceError, not_found
from dovetail.simulators.salesforce.rest import bulk_ingest, bulk_query
from dovetail.simulators.salesforce.rest.call import Api, Operation
from dovetail.simulators.salesforce.rest.composite import OPERATIONS
from dovetail.simulators.salesforce.rest.cursor import MAX_PAGE, CursorShelf
from dovetail.simulators.salesforce.seeding import Seeder
from dovetail.simulators.salesforce.session import SessionBook, new_credentials
from dovetail.simulators.salesforce.sobject import Row, SObject
from dovetail.simulators.salesforce.version import is_retired, is_supported, listed_versions
from dovetail.simulators.salesforce.write import Writer, row_id_of

_VERSIONS = "/services/data"
_DATA = "/services/data/{version}"
_OPEN_TO_ALL = frozenset({_VERSIONS, AUTHORIZE_PATH, TOKEN_PATH, REVOKE_PATH})
_MAX_URI_BYTES = 16_384
_DAY_S = 24 * 3600.0
_QUERY_JOBS_A_DAY = 10_000
_CODE_LIFE_S = 900.0
AUTOMATION = "AUTOMATION"
"""Source of an edit that a workflow or job makes: it moves SystemModstamp alone."""

_OBJECTS = {
    "contacts": CONTACT,
    "companies": ACCOUNT,
    "leads": LEAD,
    "deals": OPPORTUNITY,
    "tickets": CASE,
    "campaigns": CAMPAIGN,
    "campaign_members": CAMPAIGN_MEMBER,
}


class Salesforce(Simulator):
    """
    One Salesforce org behind its REST API.

    Args:
        clock: The platform's time.
        rng: Source of everything random in here.
        transport: Not used: Salesforce sends no webhooks over plain HTTP.
        base_url: Own public URL.
        records: How many people to seed.
        seed: Which people.
        daily_limit: API calls in any 24 hours.
        app_limit: What is shown, not enforced, as the share of the app, where an org has such.
        commit_lag_s: How long a write stays invisible to queries.
        external_id_fields: Custom fields to add, flagged External ID and Unique; an org has none.
        custom_fields: By object name, further fields of its own (``Score__c``).
        has_duplicate_rule: Whether creating a contact with a known e-mail address is questioned.
        session_timeout_s: A session ends when it is not used for so long.
        rotates_refresh_tokens: Whether each refresh replaces the refresh token.
        bulk_job_s: How long a bulk job takes.
        page_rows: Rows on a page of a query at most; orgs show fewer of wide ones.
    """

    platform = "salesforce"
    title = "Salesforce"
    resources = {name: sobject.name for name, sobject in _OBJECTS.items()}
    columns = {name: sobject.columns for name, sobject in _OBJECTS.items()}
    granularity = timedelta(seconds=1)
    ui_source = "UI"
    authorize_path = AUTHORIZE_PATH
    token_path = TOKEN_PATH
    allows_duplicates = True

    def __init__(  # noqa: PLR0913 - each is a property of the org
        self,
        *,
        clock: Clock,
        rng: random.Random,
        transport: Transport,
        base_url: str = "",
        records: int = 0,
        seed: int = 0,
        daily_limit: int = 100_000,
        app_limit: int | None = None,
        commit_lag_s: float = 0,
        external_id_fields: tuple[str, ...] = (),
        custom_fields: Mapping[str, Sequence[Field]] | None = None,
        has_duplicate_rule: bool = False,
        session_timeout_s: float = 7200,
        rotates_refresh_tokens: bool = False,
        bulk_job_s: float = 2,
        page_rows: int = MAX_PAGE,
    ) -> None:
        self._secrets: dict[str, str] = {}
        self._login = LoginHost(self)
        self.first_registration = Registration(
            code_life_s=_CODE_LIFE_S, rotates_refresh_tokens=rotates_refresh_tokens
        )
        super().__init__(
            clock=clock,
            rng=rng,
            transport=transport,
            base_url=base_url,
            records=records,
            seed=seed,
        )
        self._daily_calls = daily_limit
        self._app_limit = app_limit
        self._commit_lag_s = commit_lag_s
        self._external_id_fields = external_id_fields
        self._custom_fields = custom_fields
        self._has_duplicate_rule = has_duplicate_rule
        self._bulk_job_s = bulk_job_s
        self._page_rows = page_rows
        self._session_timeout_s = session_timeout_s
        self._secrets = new_credentials(self.rng, IdSequence("00D").new()[:15])
        self._api: Api
        self.sessions: SessionBook
        self._daily: WindowLimit
        self._seeder: Seeder

    @property
    def credentials(self) -> dict[str, str]:
        """What a client needs; the instance URL is the simulator's own."""
        return self._secrets | {"instance_url": self.base_url}

    @credentials.setter
    def credentials(self, secrets: dict[str, str]) -> None:
        self._secrets = secrets

    @property
    def org(self) -> Org:
        """The state behind the API."""
        return self._api.org

    def routes(self) -> Sequence[Route]:
        """Return the routes of the login host and of every version of the API."""
        return [
            *self._login.routes(),
            Route(_VERSIONS, self._versions, methods=["GET"]),
            *(
                Route(_DATA + item.template, self._endpoint(item), methods=[item.method])
                for item in (*bulk_ingest.OPERATIONS, *bulk_query.OPERATIONS, *OPERATIONS)
            ),
        ]

    def build(self) -> dict[str, Table]:
        """Create an empty org with one user."""
        org = Org(
            now=self.now,
            name="Dovetail Sandbox",
            external_id_fields=self._external_id_fields,
            custom_fields=self._custom_fields,
            has_duplicate_rule=self._has_duplicate_rule,
        )
        self._daily = WindowLimit(
            "DailyApiRequests", clock=self.clock, limit=self._daily_calls, per_s=_DAY_S
        )
        self.limits = [self._daily]
        self.sessions = SessionBook(
            now=self.now,
            rng=self.rng,
            credentials=self._secrets,
            org_id=org.id[:15],
            timeout_s=self._session_timeout_s,
            scope=APP_SCOPE,
        )
        writer = Writer(org)
        daily = (
            self._daily,
            WindowLimit(
                "DailyBulkV2QueryJobs", clock=self.clock, limit=_QUERY_JOBS_A_DAY, per_s=_DAY_S
            ),
        )
        self._api = Api(
            org=org,
            writer=writer,
            cursors=CursorShelf(self.now, self._page_rows),
            jobs=JobShelf(
                org=org,
                loader=Loader(org, writer, self._is_locked),
                read=lambda job: rows_of(job, org, self._commit_lag_s),
                delay_s=self._bulk_job_s,
                now=self.clock.now,
            ),
            limits=lambda: {each.name: (each.limit, each.remaining) for each in daily},
            count_query_job=daily[1].admit,
            commit_lag_s=self._commit_lag_s,
        )
        self._login.clear()
        self._seeder = Seeder(org, self._settle)
        return {
            name: RecordView(name, org.table(org.sobject(sobject.name)))
            for name, sobject in _OBJECTS.items()
        }

    def seed_person(self, person: Person, number: int) -> None:
        """Insert a contact, and the account of the company if it is a new one."""
        self._seeder.add(person)

    async def admit(self, request: Request, template: str) -> Response | None:
        """Check the size of the URL, the session, the version and the daily limit."""
        self._api.jobs.catch_up()
        if template in _OPEN_TO_ALL:
            return None
        raw = request.scope.get("raw_path") or request.url.path.encode()
        if len(raw) + len(request.scope.get("query_string", b"")) > _MAX_URI_BYTES:
            return Response("URI Too Long", status_code=414, media_type="text/plain")
        if not self.sessions.is_valid(request.headers.get("authorization")):
            if template == USER_INFO_PATH:
                return Response("Bad_OAuth_Token", status_code=403, media_type="text/html")
            return refusal_of(INVALID_SESSION)
        error = self._refuse_call(request.url.path)
        return None if error is None else refusal_of(error)

    def _refuse_call(self, path: str) -> SalesforceError | None:
        if not path.startswith(f"{_VERSIONS}/"):
            return None
        version = path.removeprefix(f"{_VERSIONS}/").partition("/")[0]
        if is_retired(version):
            message = f"The requested API version ({version}) is retired"
            return SalesforceError(410, "UNSUPPORTED_API_VERSION", message)
        if not is_supported(version):
            return not_found()
        return None if self._daily.admit() else LIMIT_EXCEEDED

    def finish(self, request: Request, template: str, response: Response) -> None:
        """Say how much of the daily limit is used."""
        is_api = request.url.path.startswith(f"{_VERSIONS}/")
        if is_api and template not in _OPEN_TO_ALL and response.status_code != 401:
            response.headers["Sforce-Limit-Info"] = self._limit_info()

    def refuse(self, error: RefusedError, request: Request) -> Response:
        """Return the list that the platform's errors are."""
        if isinstance(error, SalesforceError):
            return refusal_of(error)
        if error.status == 404:
            return refusal_of(not_found())
        if error.status == 405:
            message = f"HTTP Method '{request.method}' not allowed"
            return refusal_of(SalesforceError(405, "METHOD_NOT_ALLOWED", message))
        return refusal_of(SalesforceError(error.status, "INVALID_INPUT", error.message))

    def fault_answer(self, fault: Fault, request: Request) -> Response:
        """Return how the platform says that it cannot serve."""
        at_login = request.url.path == TOKEN_PATH
        response = outage_of(fault, at_login=at_login)
        if fault.kind == "rate_limit" and not at_login:
            response.headers["Sforce-Limit-Info"] = self._limit_info()
        return response

    def table(self, resource: str) -> Table:
        """Return the records of a resource, with what bulk jobs have done by now."""
        found = super().table(resource)
        self._api.jobs.catch_up()
        return found

    def add_field(self, resource: str, described: Mapping[str, Any]) -> None:
        """Add a custom field to an object."""
        self._api.org.add_field(self._sobject(resource), read_field(described))

    def field_names(self, resource: str) -> frozenset[str]:
        """Return the fields that a create may set."""
        sobject = self._sobject(resource)
        return frozenset(field.name for field in sobject.fields if field.is_writable)

    def create_record(self, resource: str, fields: Mapping[str, Any], *, source: str) -> Record:
        """Create a record as a person or an import does."""
        sobject = self._sobject(resource)
        row_id = self._api.writer.create(sobject, fields, allow_duplicates=True)
        if source == "IMPORT":
            self._settle(sobject)
        return self._record(sobject, row_id)

    def update_record(
        self, resource: str, id: str, fields: Mapping[str, Any], *, source: str
    ) -> Record:
        """
        Change a record.

        ``{"IsDeleted": false}`` alone takes it out of the bin, ``{"IsConverted": true}`` alone
        converts a lead.
        """
        sobject = self._sobject(resource)
        row_id = self._known_id(sobject, id)
        if dict(fields) == {"IsDeleted": False}:
            return to_record(self._api.writer.undelete(sobject, row_id))
        if dict(fields) == {"IsConverted": True} and sobject.name == "Lead":
            return to_record(convert(self._api.org, self._api.writer, row_id))
        is_automated = source == AUTOMATION
        row = self._api.writer.update(sobject, row_id, fields, is_automated=is_automated)
        return to_record(row)

    def delete_record(self, resource: str, id: str, *, source: str) -> Record:
        """Move a record to the bin, or out of it for good when it is there already."""
        sobject = self._sobject(resource)
        row_id = self._known_id(sobject, id)
        record = self._record(sobject, row_id)
        if record.deleted:
            self._api.org.forget(sobject, row_id)
            return record
        self._api.writer.delete(sobject, row_id)
        return self._record(sobject, row_id)

    def merge_records(
        self,
        resource: str,
        id: str,
        other: str,
        *,
        source: str,
    ) -> Record:
        """Merge the other record into *id*, as a person does: the API has no such call."""
        sobject = self._sobject(resource)
        winner, loser = self._known_id(sobject, id), self._known_id(sobject, other)
        return to_record(self._api.writer.merge(sobject, winner, [loser]))

    def _endpoint(self, operation: Operation) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            call = await call_of(request, operation, self.faults, self._daily.admit)
            return answer_of(operation.function(self._api, call))

        return endpoint

    async def _versions(self, request: Request) -> Response:
        return json_response(listed_versions())

    def _is_locked(self, job: Bulk) -> bool:
        path = f"{_VERSIONS}/{job.version}/jobs/ingest/{job.id}"
        return self.faults.take("row_lock", path=path, method="PATCH") is not None

    def _limit_info(self) -> str:
        used = self._daily.limit - self._daily.remaining
        own = f"; per-app-api-usage={used}/{self._app_limit}(appName={APP_NAME})"
        return f"api-usage={used}/{self._daily.limit}{own if self._app_limit else ''}"

    def _sobject(self, resource: str) -> SObject:
        native = self.resources[self.table(resource).name]
        return self._api.org.sobject(native)

    def _known_id(self, sobject: SObject, text: str) -> str:
        row_id = row_id_of(text, sobject)
        if row_id is None or self._api.org.lookup(sobject.name, row_id) is None:
            raise RefusedError(f"no {sobject.name} has the id {text}", status=404)
        return row_id

    def _record(self, sobject: SObject, row_id: str) -> Record:
        row: Row = self._api.org.table(sobject).committed.rows[row_id]
        return to_record(row)

    def _settle(self, sobject: SObject) -> None:
        """Show at once to queries what was there before anybody looked."""
        self._api.org.table(sobject).visible(self.now(), 0)
