"""Webhook intake: verified, deduplicated, committed, then answered; fail closed."""

import asyncio
import base64
import hashlib
import hmac
import json
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count, islice
from urllib.parse import parse_qsl, urlsplit

import pytest

from dovetail import App
from dovetail.connector_sdk.registry import connector_class
from dovetail.connector_sdk.webhook import WebhookReply
from dovetail.core.ports import InlineExecutor
from dovetail.core.settings import Settings
from dovetail.core.transport import HttpRequest
from dovetail.errors import WebhookRejectedError
from dovetail.runtime.history import list_events
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.app import IN_MEMORY, running_app, seeded_ports
from dovetail.testing.asgi import AsgiTransport

HOST = "http://dovetail.test"
EVENT = {
    "eventId": 1,
    "subscriptionId": 12345,
    "portalId": 62515,
    "appId": 54321,
    "occurredAt": 1772377539902,
    "subscriptionType": "contact.propertyChange",
    "attemptNumber": 0,
    "objectId": 123,
    "propertyName": "lifecyclestage",
    "propertyValue": "customer",
    "changeSource": "CRM_UI",
}


class Door:
    """The intake of an app with one HubSpot connection, called as HubSpot would."""

    def __init__(self, app, transport, connection, secret):
        self.app = app
        self.transport = transport
        self.connection = connection
        self.secret = secret

    @property
    def path(self):
        return f"/hooks/hubspot/{self.connection.id}"

    def sign(self, body, path=None, age_s=0):
        moment = int((self.app.ports.clock.now().timestamp() - age_s) * 1000)
        signed = f"POST{HOST}{path or self.path}".encode() + body + str(moment).encode()
        digest = hmac.new(self.secret.encode(), signed, hashlib.sha256).digest()
        return {
            "content-type": "application/json",
            "x-hubspot-signature-v3": base64.b64encode(digest).decode(),
            "x-hubspot-request-timestamp": str(moment),
        }

    async def post(self, body, headers=None, path=None, method="POST"):
        return await self.transport.send(
            HttpRequest(
                method=method,
                url=HOST + (path or self.path),
                headers=headers if headers is not None else self.sign(body, path),
                body=body,
            )
        )

    async def renew(self, **changes):
        await self.app.connections.add(
            platform="hubspot",
            business_id="acme",
            secrets=self.credentials,
            base_url="http://hubspot.test",
            **changes,
        )

    async def stored(self):
        return await self.app.store.read(lambda tx: list_events(tx, pattern="platform.changed"))


class StallingDisk:
    """Runs store work at once, or not at all while it stalls."""

    def __init__(self):
        self.goes = asyncio.Event()
        self.goes.set()

    async def run(self, work):
        await self.goes.wait()
        return await InlineExecutor().run(work)

    def close(self):
        pass


@asynccontextmanager
async def app_on(disk, transport):
    ports = replace(seeded_ports(transport=transport), new_executor=lambda _: disk)
    app = App(settings=Settings(database=IN_MEMORY), ports=ports)
    await app.start(serve=False, schedules=False)
    yield app
    await app.stop()


@asynccontextmanager
async def open_door(disk=None, **options):
    transport = AsgiTransport({})
    running = running_app(transport=transport, **options)
    async with running if disk is None else app_on(disk, transport) as app:
        (hubspot,) = build_simulators(
            ("hubspot",), clock=app.ports.clock, transport=transport, records=0, seed=1
        )
        hubspot.base_url = "http://hubspot.test"
        transport.add(hubspot.base_url, hubspot.app)
        connection = await app.connections.add(
            platform="hubspot",
            business_id="acme",
            secrets=hubspot.credentials,
            base_url=hubspot.base_url,
            webhook_secret="the-secret",
        )
        transport.add(HOST, app.asgi())
        door = Door(app, transport, connection, "the-secret")
        door.credentials = hubspot.credentials
        yield door


def body_of(*events):
    return json.dumps(list(events)).encode()


async def test_a_signed_webhook_is_durable_when_it_is_answered():
    async with open_door() as door:
        body = body_of(EVENT, EVENT | {"eventId": 2, "objectId": 124})

        answer = await door.post(body)

        assert answer.status == 200
        first, second = await door.stored()
        assert first.raw == body, "the bytes as received"
        assert second.raw is None, "once a request"
        assert (first.business_id, first.payload["record_id"]) == ("acme", "123")
        assert first.payload["detail"]["propertyName"] == "lifecyclestage"


async def test_the_same_webhook_again_is_one_event():
    async with open_door() as door:
        for attempt in range(3):
            answer = await door.post(body_of(EVENT | {"attemptNumber": attempt}))
            assert answer.status == 200

        assert len(await door.stored()) == 1


async def test_webhooks_that_share_a_commit_are_told_apart():
    async with open_door() as door:
        other = EVENT | {"eventId": 2, "objectId": 124}

        answers = await asyncio.gather(
            door.post(body_of(EVENT)), door.post(body_of(other, EVENT)), door.post(body_of(other))
        )

        assert [json.loads(answer.body)["accepted"] for answer in answers] == [1, 2, 1]
        assert sorted(event.payload["record_id"] for event in await door.stored()) == ["123", "124"]


@pytest.mark.parametrize("spoil", ["missing", "wrong", "other-body", "other-path", "old", "future"])
async def test_what_is_not_signed_right_is_refused_and_leaves_nothing(spoil):
    async with open_door() as door:
        body = body_of(EVENT)
        headers = {
            "missing": {"content-type": "application/json"},
            "wrong": door.sign(body) | {"x-hubspot-signature-v3": "AAAA"},
            "other-body": door.sign(body + b" "),
            "other-path": door.sign(body, path="/hooks/hubspot/other"),
            "old": door.sign(body, age_s=301),
            "future": door.sign(body, age_s=-301),
        }[spoil]

        answer = await door.post(body, headers)

        assert answer.status == 401
        assert json.loads(answer.body)["error"]["code"] == "webhook-rejected"
        assert b"the-secret" not in answer.body
        assert await door.stored() == []


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[1]", b'[{"eventId": 1}]', b'"text"'])
async def test_a_signed_body_that_is_no_webhook_is_a_400(body):
    async with open_door() as door:
        answer = await door.post(body)

        assert answer.status == 400
        assert await door.stored() == []


async def test_a_body_that_is_too_large_is_a_413():
    async with open_door() as door:
        answer = await door.post(b"[" + b" " * (1024 * 1024) + b"]")

        assert answer.status == 413
        assert b"DOVETAIL_MAX_BODY_BYTES" in answer.body


@pytest.mark.parametrize(
    "path", ["/hooks/hubspot/unknown", "/hooks/salesforce/unknown", "/hooks/x"]
)
async def test_an_unknown_door_is_a_404(path):
    async with open_door() as door:
        assert (await door.post(body_of(EVENT), path=path)).status == 404


async def test_the_connection_of_another_platform_is_a_404():
    async with open_door() as door:
        path = f"/hooks/salesforce/{door.connection.id}"
        assert (await door.post(body_of(EVENT), path=path)).status == 404


async def test_only_post_is_answered():
    async with open_door() as door:
        assert (await door.post(b"", method="GET")).status == 405


async def test_a_webhook_signed_with_the_secret_before_is_accepted_for_a_while():
    async with open_door() as door:
        await door.renew(webhook_secret="a-new-secret")

        assert (await door.post(body_of(EVENT))).status == 200
        door.secret = "a-new-secret"
        assert (await door.post(body_of(EVENT | {"eventId": 2}))).status == 200
        door.secret = "the-secret"
        await door.app.ports.clock.sleep(2 * 86_400 + 1)
        assert (await door.post(body_of(EVENT | {"eventId": 3}))).status == 401


async def test_connecting_again_keeps_the_webhook_secret():
    async with open_door() as door:
        await door.renew()

        assert (await door.post(body_of(EVENT))).status == 200


class Greeting(connector_class("hubspot")):
    """A platform that asks first, in the way that several do."""

    def handshake(self, request, secrets, now):
        query = dict(parse_qsl(urlsplit(request.url).query))
        if request.method != "GET":
            return None
        if query.get("token") != secrets[0]:
            raise WebhookRejectedError("The handshake's token is not ours.", status=401)
        return WebhookReply(body=query["challenge"].encode(), headers={"x-greeted": "yes"})


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [("token=the-secret&challenge=42", 200, b"42"), ("token=x&challenge=42", 401, None)],
)
async def test_a_handshake_is_answered_as_the_platform_wants_it(query, status, body):
    async with open_door() as door:
        opened = await door.app.connections.open(door.connection.id)
        greeting = replace(opened, connector=Greeting(opened.connector.api))
        door.app.connections._opened[door.connection.id] = greeting

        answer = await door.post(b"", {}, path=f"{door.path}?{query}", method="GET")

        assert answer.status == status
        assert body is None or (answer.body, answer.headers["x-greeted"]) == (body, "yes")
        assert (await door.post(body_of(EVENT))).status == 200, "webhooks as ever"


async def test_a_locked_database_is_a_503_and_the_repeated_webhook_is_kept(tmp_path):
    database = tmp_path / "app.db"
    async with open_door(database=database, busy_s=0.1) as door:
        await door.app.connections.open(door.connection.id)
        blocker = sqlite3.connect(database)
        blocker.execute("BEGIN EXCLUSIVE")
        refused = await door.post(body_of(EVENT))
        blocker.rollback()
        blocker.close()

        assert refused.status == 503
        assert refused.headers["retry-after"]
        assert (await door.post(body_of(EVENT))).status == 200
        assert len(await door.stored()) == 1


async def test_a_disk_that_stalls_is_a_503_at_once_bounded_memory_and_nothing_lost():
    disk, numbers = StallingDisk(), count(1)
    async with open_door(disk) as door:
        queue = door.app.store.group

        async def burst(size):
            """Send so many at the same moment; return the answers and how long the last took."""
            began = asyncio.get_running_loop().time()
            bodies = {
                n: body_of(EVENT | {"eventId": n, "objectId": n}) for n in islice(numbers, size)
            }
            answers = await asyncio.gather(*(door.post(body) for body in bodies.values()))
            took = asyncio.get_running_loop().time() - began
            return dict(zip(bodies, answers, strict=True)), took

        accepted, _ = await burst(10)
        disk.goes.clear()
        late, took = await burst(2_500)
        held = len(queue._waiting)
        refused, at_once = await burst(2_500)

        assert took < 5, "in the time that a platform waits"
        assert at_once == 0
        assert held <= 2_048
        assert len(queue._waiting) <= held + 1, "those that came later left nothing behind"
        for answer in (*late.values(), *refused.values()):
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")

        await asyncio.sleep(3_600)
        disk.goes.set()
        await asyncio.sleep(1)
        again, _ = await burst(100)

        told_of = {int(event.payload["record_id"]) for event in await every_event(door)}
        for n, answer in (accepted | again).items():
            assert answer.status == 200
            assert n in told_of
        assert not told_of & refused.keys(), "refused before anything was done"


async def test_large_bodies_that_wait_for_the_disk_are_bounded_in_bytes():
    disk = StallingDisk()
    async with open_door(disk) as door:
        await door.post(body_of(EVENT))
        disk.goes.clear()
        large = [
            body_of(EVENT | {"eventId": n, "propertyValue": "x" * 900_000}) for n in range(2, 102)
        ]
        posts = [asyncio.ensure_future(door.post(body)) for body in large]
        await asyncio.sleep(1)
        refused = [post.result().status for post in posts if post.done()]
        disk.goes.set()
        answers = await asyncio.gather(*posts)

    assert refused == [503] * 25, "64 MB wait, the rest is to come again"
    assert [answer.status for answer in answers].count(200) == 75


async def every_event(door):
    return await door.app.store.read(
        lambda tx: list_events(tx, pattern="platform.changed", limit=100_000)
    )
