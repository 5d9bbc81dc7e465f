"""``/webhooks/v3/{appId}``: where an app's events go and which it wants; and making the events."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dovetail.core import json
from dovetail.core.transport import HttpRequest
from dovetail.simulator_sdk.base import json_response
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import OBJECT_TYPES, native_properties
from dovetail.simulators.hubspot.property import iso
from dovetail.simulators.hubspot.request import inputs_in, object_in
from dovetail.simulators.hubspot.signature import sign_v1, sign_v3
from dovetail.simulators.hubspot.store import Change

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator

MAX_SUBSCRIPTIONS = 1000
TIMEOUT_S = 5.0
_PATH = "/webhooks/v3/{app_id}"
_NOUNS = (*(kind.singular for kind in OBJECT_TYPES.values()), "product", "line_item", "object")
_EVENTS = ("creation", "deletion", "propertyChange", "merge", "restore", "associationChange")
EVENT_TYPES = frozenset(
    {f"{noun}.{event}" for noun in _NOUNS for event in _EVENTS}
    | {"contact.privacyDeletion"} - {"product.associationChange"}
)


class WebhookApi:
    """Settings and subscriptions of the app, and the events they select."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator
        self.clear(random.Random(0))

    def clear(self, rng: random.Random) -> None:
        """Forget settings and subscriptions."""
        self._rng = rng
        self._settings: dict[str, Any] | None = None
        self._subscriptions: dict[str, dict[str, Any]] = {}
        self._last_id = 1000

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = _PATH + "/subscriptions/{id}"
        return [
            Route(_PATH + "/settings", self.settings, methods=["GET"]),
            Route(_PATH + "/settings", self.configure, methods=["PUT"]),
            Route(_PATH + "/settings", self.unset, methods=["DELETE"]),
            Route(_PATH + "/subscriptions", self.list_, methods=["GET"]),
            Route(_PATH + "/subscriptions", self.create, methods=["POST"]),
            Route(_PATH + "/subscriptions/batch/update", self.update_batch, methods=["POST"]),
            Route(one, self.one, methods=["GET"]),
            Route(one, self.update, methods=["PATCH"]),
            Route(one, self.remove, methods=["DELETE"]),
        ]

    async def settings(self, request: Request) -> Response:
        """Return where events go."""
        self._check_app(request)
        if self._settings is None:
            raise refusal.not_found("Webhook settings were not configured")
        return json_response(self._settings)

    async def configure(self, request: Request) -> Response:
        """Say where events go."""
        self._check_app(request)
        body = await object_in(request)
        throttling = body.get("throttling")
        most = throttling.get("maxConcurrentRequests") if isinstance(throttling, dict) else None
        target = body.get("targetUrl")
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise refusal.invalid("throttling needs maxConcurrentRequests of 1 or more")
        if not isinstance(target, str) or not target.startswith(("https://", "http://")):
            raise refusal.invalid(f"targetUrl is not a URL: {target!r}")
        self._target(target, most)
        return json_response(self._settings)

    async def unset(self, request: Request) -> Response:
        """Stop sending events."""
        self._check_app(request)
        self._settings = None
        return Response(status_code=204)

    async def list_(self, request: Request) -> Response:
        """Return the subscriptions."""
        self._check_app(request)
        return json_response({"results": list(self._subscriptions.values())})

    async def create(self, request: Request) -> Response:
        """Subscribe to one kind of event; it stays paused unless `active` is true."""
        self._check_app(request)
        body = await object_in(request)
        event_type, name = body.get("eventType"), body.get("propertyName")
        if event_type not in EVENT_TYPES:
            raise refusal.invalid(f"eventType {event_type!r} is not a known subscription type")
        if event_type.endswith(".propertyChange") and not isinstance(name, str):
            raise refusal.invalid("propertyName is needed for propertyChange subscriptions")
        type_id = body.get("objectTypeId")
        if event_type.startswith("object.") and not isinstance(type_id, str):
            raise refusal.invalid("objectTypeId is needed for object subscriptions")
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS:
            raise refusal.invalid(f"At most {MAX_SUBSCRIPTIONS} subscriptions are allowed")
        wanted = (event_type, name, type_id)
        for each in self._subscriptions.values():
            if wanted == (each["eventType"], each.get("propertyName"), each.get("objectTypeId")):
                raise refusal.conflict(f"Subscription already exists. Existing ID: {each['id']}")
        active = bool(body.get("active", False))
        created = self._subscribe(event_type, name, type_id=type_id, active=active)
        return json_response(created, 201)

    async def one(self, request: Request) -> Response:
        """Return one subscription."""
        return json_response(self._found(request, request.path_params["id"]))

    async def update(self, request: Request) -> Response:
        """Pause or resume a subscription."""
        found = self._found(request, request.path_params["id"])
        body = await object_in(request)
        self._activate(found, body)
        return json_response(found)

    async def update_batch(self, request: Request) -> Response:
        """Pause or resume many."""
        results = []
        for entry in await inputs_in(request):
            found = self._found(request, str(entry.get("id")))
            self._activate(found, entry)
            results.append(found)
        at = iso(self._simulator.now())
        answer = {"status": "COMPLETE", "results": results, "startedAt": at, "completedAt": at}
        return json_response(answer)

    async def remove(self, request: Request) -> Response:
        """End a subscription."""
        del self._subscriptions[self._found(request, request.path_params["id"])["id"]]
        return Response(status_code=204)

    def subscribe_all(self, url: str | None) -> None:
        """Send every event of every type to a URL; None stops it."""
        if url is None:
            self._settings = None
            return
        self._target(url, 10)
        self._subscriptions.clear()
        for kind in OBJECT_TYPES.values():
            for event in ("creation", "deletion", "merge", "restore", "associationChange"):
                self._subscribe(f"{kind.singular}.{event}", None, active=True)
            for definition in native_properties(kind).values():
                if not definition.read_only:
                    event_type = f"{kind.singular}.propertyChange"
                    self._subscribe(event_type, definition.name, active=True)

    def events_of(self, change: Change) -> list[dict[str, Any]]:
        """Return an event for each active subscription that wants the change."""
        if self._settings is None:
            return []
        events = []
        for subscription in self._subscriptions.values():
            if subscription["active"] and _wants(subscription, change):
                events.append(
                    {
                        "eventId": self._rng.randrange(1, 2**32),
                        "subscriptionId": int(subscription["id"]),
                        "portalId": self._simulator.portal_id,
                        "appId": int(self._simulator.credentials["app_id"]),
                        "occurredAt": round(change.at.timestamp() * 1000),
                        "subscriptionType": subscription["eventType"],
                        "attemptNumber": 0,
                        "changeSource": change.source,
                        **_subject_of(change),
                        **change.facts,
                        **_type_id(subscription),
                    }
                )
        return events

    def build_request(self, events: list[dict[str, Any]], attempt: int) -> HttpRequest | None:
        """Return the signed request for a batch of events, to where they go by now."""
        if self._settings is None:
            return None
        url: str = self._settings["targetUrl"]
        body = json.encode([{**event, "attemptNumber": attempt} for event in events])
        secret = self._simulator.webhook_secret
        timestamp = str(round(self._simulator.clock.now().timestamp() * 1000))
        return HttpRequest(
            method="POST",
            url=url,
            headers={
                "content-type": "application/json",
                "user-agent": "HubSpot Webhooks",
                "x-hubspot-signature": sign_v1(secret, body),
                "x-hubspot-signature-version": "v1",
                "x-hubspot-signature-v3": sign_v3(secret, "POST", url, body, timestamp),
                "x-hubspot-request-timestamp": timestamp,
            },
            body=body,
            timeout_s=TIMEOUT_S,
        )

    def _check_app(self, request: Request) -> None:
        if request.path_params["app_id"] != self._simulator.credentials["app_id"]:
            raise refusal.not_found("No app with that id exists")

    def _found(self, request: Request, id: str) -> dict[str, Any]:
        self._check_app(request)
        found = self._subscriptions.get(id)
        if found is None:
            raise refusal.not_found("No subscription with that id exists")
        return found

    def _target(self, url: str, most: int) -> None:
        at = iso(self._simulator.now())
        created_at = at if self._settings is None else self._settings["createdAt"]
        self._settings = {
            "targetUrl": url,
            "throttling": {"maxConcurrentRequests": most},
            "createdAt": created_at,
            "updatedAt": at,
        }

    def _subscribe(
        self, event_type: str, name: str | None, *, active: bool, type_id: str | None = None
    ) -> dict[str, Any]:
        self._last_id += 1
        at = iso(self._simulator.now())
        subscription: dict[str, Any] = {
            "id": str(self._last_id),
            "eventType": event_type,
            "propertyName": name,
            "objectTypeId": type_id,
            "active": active,
            "createdAt": at,
            "updatedAt": at,
        }
        shown = {key: value for key, value in subscription.items() if value is not None}
        self._subscriptions[shown["id"]] = shown
        return shown

    def _activate(self, subscription: dict[str, Any], body: dict[str, Any]) -> None:
        if not isinstance(body.get("active"), bool):
            raise refusal.invalid("Some required fields were not set: [active]")
        subscription["active"] = body["active"]
        subscription["updatedAt"] = iso(self._simulator.now())


def _wants(subscription: dict[str, Any], change: Change) -> bool:
    noun, _, event = subscription["eventType"].partition(".")
    if event != change.event:
        return False
    if noun == "object":
        if subscription.get("objectTypeId") != change.kind.type_id:
            return False
    elif noun != change.kind.singular:
        return False
    named = change.facts.get("propertyName")
    return named is None or named == subscription.get("propertyName")


def _subject_of(change: Change) -> dict[str, int]:
    """Return which record an event is about; one about a link names both of its ends instead."""
    return {} if change.event == "associationChange" else {"objectId": int(change.record.id)}


def _type_id(subscription: dict[str, Any]) -> dict[str, str]:
    type_id = subscription.get("objectTypeId")
    return {} if type_id is None else {"objectTypeId": type_id}
