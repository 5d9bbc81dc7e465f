"""Rules of webhooks: only what the platform signed is heard, and all of it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import cast

import pytest
from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dovetail.connector_sdk.base import Webhooks
from dovetail.connector_sdk.spec import Capability
from dovetail.connector_sdk.webhook import WebhookEvent, WebhookRequest
from dovetail.core import json
from dovetail.errors import WebhookRejectedError
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.testing.contract.rule import Rules, Setting
from dovetail.testing.contract.stand import Stand

_ORIGIN = "https://receiver.test"
_URL = f"{_ORIGIN}/webhooks/contract"


class Receiver:
    """Takes what the platform sends; refuses as many requests as it is told to at first."""

    def __init__(self, stand: Stand, refused: int = 0) -> None:
        self.stand = stand
        self.requests: list[WebhookRequest] = []
        self._refused = refused

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        self.requests.append(
            WebhookRequest(
                method=request.method, url=_URL, headers=dict(request.headers), body=body
            )
        )
        status = 503 if len(self.requests) <= self._refused else 204
        await Response(status_code=status)(scope, receive, send)

    @property
    def webhooks(self) -> Webhooks:
        return cast("Webhooks", self.stand.connector)

    def verify(
        self,
        request: WebhookRequest,
        *secrets: str,
        late: timedelta = timedelta(0),
    ) -> None:
        self.webhooks.verify(request, secrets, self.stand.clock.now() + late)

    def events(self) -> list[WebhookEvent]:
        return [event for request in self.requests for event in self.webhooks.parse(request)]


class HearingRules(Rules):
    """What `verify`, `parse` and `subscribe` keep."""

    async def test_only_what_is_signed_is_accepted(self, setting: Setting) -> None:
        async with _receiver(setting) as receiver:
            stand, secret = receiver.stand, receiver.stand.simulator.webhook_secret
            stand.edit()
            await _arrive(receiver)
            (request,) = receiver.requests[:1]
            shouted = {name.upper(): value for name, value in request.headers.items()}
            with stand.accepted("what the platform signed with one of the secrets is genuine"):
                receiver.verify(request, secret)
                receiver.verify(request, "another-secret", secret)
                receiver.verify(structs.replace(request, headers=shouted), secret)
            for reason, forged, secrets, late_s in _forgeries(request, secret):
                with stand.refusal(WebhookRejectedError) as caught:
                    receiver.verify(forged, *secrets, late=timedelta(seconds=late_s))
                assert getattr(caught.error, "status", 401) == 401, reason

    async def test_every_change_is_heard(self, setting: Setting) -> None:
        async with _receiver(setting) as receiver:
            stand = receiver.stand
            with stand.simulator.one_moment() as at:
                made = [stand.edit() for _ in range(3)]
            await _arrive(receiver)
            heard = [one for one in receiver.events() if one.resource == stand.resource.name]
            assert {one.record_id for one in heard if one.kind == "created"} == set(made)
            assert len({one.id for one in heard}) == len(heard), "two events have the same id"
            for one in heard:
                assert one.occurred_at.tzinfo is not None
                assert abs(one.occurred_at - at) <= timedelta(seconds=1), (
                    f"it happened at {at.isoformat()}, not at {one.occurred_at.isoformat()}"
                )
            receiver.requests.clear()
            stand.edit(made[0], **{stand.sample.text: stand.mark()})
            stand.remove(made[1])
            await _arrive(receiver)
            told = {(one.record_id, one.kind) for one in receiver.events()}
            assert (made[0], "updated") in told
            assert (made[1], "deleted") in told

    async def test_several_events_of_one_body_are_split(self, setting: Setting) -> None:
        async with _receiver(setting) as receiver:
            stand = receiver.stand
            made = [stand.edit() for _ in range(4)]
            await _arrive(receiver)
            for request in receiver.requests:
                body = json.decode(request.body)
                events = receiver.webhooks.parse(request)
                if isinstance(body, list):
                    assert len(events) >= len(body), "a body of several events was read as one"
                    assert all(one.detail in body for one in events), "the detail was touched"
            assert {one.record_id for one in receiver.events()} == set(made)

    async def test_a_repeated_event_has_the_same_id(self, setting: Setting) -> None:
        async with _receiver(setting, refused=1) as receiver:
            receiver.stand.edit()
            await _arrive(receiver)
            first, again = receiver.requests[:2]
            ids = [{one.id for one in receiver.webhooks.parse(each)} for each in (first, again)]
            assert ids[0] == ids[1], "the platform sent it again, and it looks like a new fact"
            assert ids[0]

    async def test_a_merge_is_heard(self, setting: Setting) -> None:
        async with _receiver(setting) as receiver:
            stand = receiver.stand
            made = [stand.edit() for _ in range(2)]
            await _arrive(receiver)
            receiver.requests.clear()
            try:
                kept = stand.simulator.merge_records(
                    stand.resource.name, made[0], made[1], source="UI"
                )
            except RefusedError as refused:
                pytest.skip(f"{setting}: {refused}")
            await _arrive(receiver)
            merged = [one for one in receiver.events() if one.kind == "merged"]
            assert (made[1], kept.id) in [(one.record_id, one.merged_into) for one in merged]

    async def test_a_body_that_is_no_webhook_is_refused(self, indoors: Setting) -> None:
        async with _receiver(indoors) as receiver:
            receiver.stand.edit()
            await _arrive(receiver)
            request = receiver.requests[0]
            for body in (b"", b"no json", b"[1]", b'"text"', request.body[:-3], b"\xff\xfe"):
                with receiver.stand.refusal(WebhookRejectedError) as caught:
                    receiver.webhooks.parse(structs.replace(request, body=body))
                assert getattr(caught.error, "status", None) == 400

    async def test_asking_for_webhooks_twice_tells_everything_once(self, indoors: Setting) -> None:
        async with _receiver(indoors) as receiver:
            stand = receiver.stand
            stand.simulator.set_webhook_target(None)
            fields: dict[str, Sequence[str]] = {stand.resource.name: stand.fields}
            for _ in range(2):
                if not await receiver.webhooks.subscribe(_URL, fields):
                    pytest.skip(f"{indoors}: a person asks for webhooks, in the platform's pages")
            made = stand.edit()
            await _arrive(receiver)
            heard = [one for one in receiver.events() if one.kind == "created"]
            assert [one.record_id for one in heard] == [made]


@asynccontextmanager
async def _receiver(setting: Setting, refused: int = 0) -> AsyncIterator[Receiver]:
    async with setting.stand(Capability.WEBHOOKS) as stand:
        receiver = Receiver(stand, refused)
        stand.webhooks.add(_ORIGIN, receiver.app)
        stand.simulator.set_webhook_target(_URL)
        yield receiver


async def _arrive(receiver: Receiver) -> None:
    await receiver.stand.simulator.drain()
    assert receiver.requests, "the simulator sent no webhook"


def _forgeries(
    request: WebhookRequest, secret: str
) -> list[tuple[str, WebhookRequest, tuple[str, ...], float]]:
    """Return requests that must be refused: why, the request, the secrets, how late it is."""
    bare = {name: text for name, text in request.headers.items() if name == "content-type"}
    unsigned = {name: text for name, text in request.headers.items() if "sign" not in name.lower()}
    blank = {name: "" if "sign" in name.lower() else text for name, text in request.headers.items()}
    return [
        ("without headers", structs.replace(request, headers=bare), (secret,), 0),
        ("without signature", structs.replace(request, headers=unsigned), (secret,), 0),
        ("with a blank signature", structs.replace(request, headers=blank), (secret,), 0),
        ("of another secret", request, ("another-secret",), 0),
        ("without any secret", request, (), 0),
        ("with another body", structs.replace(request, body=request.body + b" "), (secret,), 0),
        ("an hour old", request, (secret,), 3600),
        ("of the future", request, (secret,), -3600),
    ]
