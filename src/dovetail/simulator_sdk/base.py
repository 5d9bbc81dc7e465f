"""
The base of every simulator: one call through it, from the socket to the answer.

::

    call -> route -> faults that replace the answer -> admit (auth, limits) -> endpoint -> faults
    that spoil the answer -> counted

A subclass says what the platform says; nothing here knows a platform.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from dovetail.core import json
from dovetail.core.clock import Clock
from dovetail.core.transport import Transport
from dovetail.simulator_sdk.broken import halved, html_page
from dovetail.simulator_sdk.call import CallLog
from dovetail.simulator_sdk.control import ControlApp
from dovetail.simulator_sdk.fault import ConnectionCut, Fault, FaultPlan
from dovetail.simulator_sdk.limit import WindowLimit
from dovetail.simulator_sdk.people import Person, people
from dovetail.simulator_sdk.record import Record, Table
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulator_sdk.registration import Registration
from dovetail.simulator_sdk.webhook import WebhookSender

IN_PROCESS = "dovetail.in_process"
"""ASGI extension of a caller that wants `ConnectionCut` raised instead of a closed socket."""

Endpoint = Callable[[Request], Awaitable[Response]]


def json_response(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a JSON answer."""
    return Response(
        json.encode(value),
        status_code=status,
        headers=None if headers is None else dict(headers),
        media_type="application/json;charset=utf-8",
    )


class Simulator:
    """
    A stateful stand-in for one platform.

    A subclass declares the class attributes and implements `routes`, `build`, `admit`, `refuse`,
    `fault_answer` and the four record methods; `finish` and `set_webhook_target` if it needs
    them. It creates `credentials` and `webhook_secret` in its ``__init__`` from `rng`, so that
    they survive a reset. State (`tables` and whatever else) is created in `build`, which runs on
    first use and after each reset, with `rng` in the same state each time.

    Args:
        clock: The platform's time; limits, index lag and webhooks follow it.
        rng: Source of the seed of everything random in here.
        transport: Carries webhooks out.
        base_url: Own public URL without a slash at the end; may be set later.
        records: How many people to seed.
        seed: Which people; platforms with the same seed share a quarter of theirs.
    """

    platform: ClassVar[str] = ""
    title: ClassVar[str] = ""
    resources: ClassVar[Mapping[str, str]] = {}
    """Our plural name of each resource and the platform's own name for it."""
    columns: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """By our resource name: our field names and the platform's, for files that people load."""
    granularity: ClassVar[timedelta] = timedelta(milliseconds=1)
    """The finest time that the platform keeps."""
    ui_source: ClassVar[str] = "UI"
    """What the platform calls an edit by a person in its own user interface."""
    allows_duplicates: ClassVar[bool] = False
    """Whether two people may have one e-mail address; seed data then has some."""
    authorize_path: ClassVar[str] = ""
    """Where a person is sent to allow an app; empty where there is no such page."""
    token_path: ClassVar[str] = ""
    first_registration: Registration = Registration()
    """How the application that calls is registered until somebody changes it."""

    def __init__(
        self,
        *,
        clock: Clock,
        rng: random.Random,
        transport: Transport,
        base_url: str = "",
        records: int = 0,
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.transport = transport
        self.base_url = base_url.rstrip("/")
        self.records = records
        self.seed = seed
        self.rng = random.Random(rng.getrandbits(64))
        self._state_seed = rng.getrandbits(64)
        self.credentials: dict[str, str] = {}
        self.webhook_secret = ""
        self.registration = self.first_registration
        self.faults = FaultPlan(self._state_seed)
        self.calls = CallLog()
        self.limits: list[WindowLimit] = []
        """Limits whose peaks the control endpoint shows; filled by `build`."""
        self.webhooks: WebhookSender | None = None
        """Set by ``__init__`` or `build` of platforms that send webhooks."""
        self._tables: dict[str, Table] | None = None
        self._loaded: list[tuple[str, dict[str, Any]]] = []
        self._moment: datetime | None = None
        self._seeded_at: datetime | None = None
        self._routes = list(self.routes())
        self._control = ControlApp(self)

    # What the platform is: overridden by subclasses.

    def routes(self) -> Sequence[Route]:
        """Return the platform's routes; endpoints are ``async (Request) -> Response``."""
        raise NotImplementedError

    def build(self) -> dict[str, Table]:
        """Create all state afresh and return a table for each of `resources`."""
        raise NotImplementedError

    def seed_person(self, person: Person, number: int) -> None:
        """Insert one person as they are, without validation, webhooks or side effects."""
        raise NotImplementedError

    async def admit(self, request: Request, template: str) -> Response | None:
        """Return the platform's answer to a call without rights or above its limits."""
        raise NotImplementedError

    def finish(self, request: Request, template: str, response: Response) -> None:
        """Add headers that every answer of the platform has."""

    def refuse(self, error: RefusedError, request: Request) -> Response:
        """Return how the platform says this error."""
        raise NotImplementedError

    def fault_answer(self, fault: Fault, request: Request) -> Response:
        """Return how the platform says ``rate_limit``, ``server_error`` or ``expired_token``."""
        raise NotImplementedError

    def create_record(self, resource: str, fields: Mapping[str, Any], *, source: str) -> Record:
        """Create a record as the API would, events included; raise RefusedError if it may not."""
        raise NotImplementedError

    def update_record(
        self, resource: str, id: str, fields: Mapping[str, Any], *, source: str
    ) -> Record:
        """Change a record as the API would."""
        raise NotImplementedError

    def delete_record(self, resource: str, id: str, *, source: str) -> Record:
        """Delete a record as the API would."""
        raise NotImplementedError

    def merge_records(self, resource: str, id: str, other: str, *, source: str) -> Record:
        """Merge the other record into *id* and return the one that remains."""
        raise RefusedError(f"{self.title} cannot merge {resource}")

    def set_webhook_target(self, url: str | None) -> None:
        """Send every event to this URL, as if somebody had subscribed to all; None stops it."""
        raise RefusedError(f"{self.title} sends no webhooks")

    def add_field(self, resource: str, described: Mapping[str, Any]) -> None:
        """Add a field of the account's own, as its administrator would, until the next reset."""
        raise RefusedError(f"{self.title} has an API to add fields: use that")

    def field_names(self, resource: str) -> frozenset[str]:
        """Return the platform's fields that may be written on create, for files people load."""
        raise NotImplementedError

    def show_fields(self, record: Record) -> dict[str, Any]:
        """Return the platform's fields of a record, for the control endpoint."""
        return dict(record.fields)

    # What every simulator does.

    @property
    def tables(self) -> dict[str, Table]:
        """Return the tables by our resource names, creating and seeding them on first use."""
        if self._tables is None:
            self.rng = random.Random(self._state_seed)
            self._tables = self.build()
            self._seed()
        return self._tables

    def table(self, resource: str) -> Table:
        """
        Return a table by our name or the platform's, in any case.

        Raises:
            RefusedError: There is no such resource (404).
        """
        wanted = resource.lower()
        for name, native in self.resources.items():
            if wanted in (name.lower(), native.lower()):
                return self.tables[name]
        known = ", ".join(self.resources)
        raise RefusedError(f"no resource {resource!r}; {self.title} has {known}", status=404)

    def now(self) -> datetime:
        """Return the current moment, as finely as the platform keeps it."""
        moment = self._moment or self.clock.now()
        step = self.granularity // timedelta(microseconds=1)
        return moment - timedelta(microseconds=_micros(moment) % step)

    @contextmanager
    def one_moment(self, at: datetime | None = None) -> Iterator[datetime]:
        """
        Let time stand still for what is done inside (without awaiting).

        *at* is a past moment, for what shows only now: the writes of a long transaction.
        """
        outer, self._moment = self._moment, at or self._moment
        self._moment = self.now()
        try:
            yield self._moment
        finally:
            self._moment = outer

    def lag_s(self, request: Request, usual_s: float = 0.0) -> float:
        """Return how far behind a replica is for this call, with the fault that delays it."""
        fault = self._strikes("consistency_lag", request)
        return usual_s if fault is None else max(usual_s, fault.length_s)

    def load(self, resource: str, fields: Mapping[str, Any]) -> Record:
        """
        Add a record to the seeded state; a reset brings it back.

        Raises:
            RefusedError: The platform does not take these values.
        """
        name = self.table(resource).name
        record = self.create_record(name, fields, source="IMPORT")
        self._loaded.append((name, dict(fields)))
        return record

    async def reset(self) -> None:
        """Go back to the seeded state: records, subscriptions, faults, counts."""
        if self.webhooks is not None:
            await self.webhooks.clear()
        self.faults.replace([], seed=self._state_seed)
        self.calls = CallLog()
        self.limits = []
        self.registration = self.first_registration
        self._tables = None

    async def drain(self) -> None:
        """Wait until every webhook has been delivered or given up."""
        if self.webhooks is not None:
            await self.webhooks.drain()

    async def close(self) -> None:
        """Stop sending webhooks."""
        if self.webhooks is not None:
            await self.webhooks.clear()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call: the ASGI application."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path: str = scope["path"]
        _ = self.tables
        if path.startswith("/_sandbox/"):
            await (await self._control.answer(request))(scope, receive, send)
            return
        try:
            response = await self._answer(request)
        except ConnectionCut:
            if IN_PROCESS in scope.get("extensions", {}):
                raise
            # A body was announced and does not come: the server closes the connection.
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"content-length", b"9")],
                }
            )
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        method, path = request.method, request.url.path
        route, refusal = self._route(request)
        template = route.path if route is not None else "(unknown)"
        status = 0
        try:
            response = await self._spoil(request, route, refusal, template)
            status = response.status_code
            return response
        finally:
            self.calls.add(
                method=method, template=template, path=path, status=status, at=self.clock.now()
            )

    def _route(self, request: Request) -> tuple[Route | None, RefusedError]:
        scope = dict(request.scope)
        if len(scope["path"]) > 1:
            scope["path"] = scope["path"].rstrip("/")
        refusal = RefusedError("resource not found", status=404)
        for route in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                request.scope.update(child)
                return route, refusal
            if match is Match.PARTIAL:
                refusal = RefusedError("method not allowed", status=405)
        return None, refusal

    async def _spoil(
        self, request: Request, route: Route | None, refusal: RefusedError, template: str
    ) -> Response:
        if not self.faults.faults:
            return await self._handle(request, route, refusal, template)
        spoiled = await self._fault_before(request)
        if spoiled is not None:
            return spoiled
        response = await self._handle(request, route, refusal, template)
        if self._strikes("cut_after", request):
            raise ConnectionCut
        return halved(response) if self._strikes("truncate", request) else response

    async def _fault_before(self, request: Request) -> Response | None:
        """Return what a fault answers in place of the platform, which then applies nothing."""
        if latency := self._strikes("latency", request):
            await self.clock.sleep(latency.length_s)
        if self._strikes("cut_before", request):
            raise ConnectionCut
        for kind in ("rate_limit", "server_error", "expired_token"):
            if fault := self._strikes(kind, request):
                return self.fault_answer(fault, request)
        if html := self._strikes("html", request):
            return html_page(html.status or 502)
        return None

    def _strikes(self, kind: str, request: Request) -> Fault | None:
        return self.faults.take(kind, path=request.url.path, method=request.method)

    async def _handle(
        self, request: Request, route: Route | None, refusal: RefusedError, template: str
    ) -> Response:
        response = await self.admit(request, template)
        if response is None:
            try:
                if route is None:
                    raise refusal
                response = await route.endpoint(request)
            except RefusedError as error:
                response = self.refuse(error, request)
        self.finish(request, template, response)
        return response

    def _seed(self) -> None:
        if self._seeded_at is None:
            self._seeded_at = self.now()
        if self.records:
            crowd = people(
                self.seed,
                self.platform,
                self.records,
                until=self._seeded_at,
                duplicates=self.allows_duplicates,
            )
            for number, person in enumerate(crowd):
                self.seed_person(person, number)
        for resource, fields in self._loaded:
            self.create_record(resource, fields, source="IMPORT")


async def read_json(request: Request) -> Any:
    """
    Return the decoded body of a call.

    Raises:
        RefusedError: It is not JSON.
    """
    try:
        return json.decode(await request.body())
    except ValueError as exc:
        raise RefusedError(f"Invalid input JSON: {exc}") from exc


def _micros(moment: datetime) -> int:
    return moment.microsecond + 1_000_000 * (moment.second + 60 * moment.minute)
