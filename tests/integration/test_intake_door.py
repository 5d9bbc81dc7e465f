"""The webhook door on a real database: what is answered 200 survives, what cannot be is a 503."""

import base64
import hashlib
import hmac
import json
import sqlite3
import time
from contextlib import asynccontextmanager

import pytest

from dovetail.app.app import App
from dovetail.core.clock import SystemClock
from dovetail.core.ports import Ports
from dovetail.core.settings import Settings
from dovetail.core.transport import HttpRequest
from dovetail.runtime.history import list_events
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.asgi import AsgiTransport

HOST = "http://dovetail.test"
SECRET = "the-secret"


def body_of(number):
    event = {
        "eventId": number,
        "subscriptionId": 1,
        "occurredAt": int(time.time() * 1000),
        "subscriptionType": "contact.creation",
        "objectId": number,
    }
    return json.dumps([event]).encode()


def signed(path, body):
    moment = str(int(time.time() * 1000))
    text = f"POST{HOST}{path}".encode() + body + moment.encode()
    digest = hmac.new(SECRET.encode(), text, hashlib.sha256).digest()
    return {
        "x-hubspot-signature-v3": base64.b64encode(digest).decode(),
        "x-hubspot-request-timestamp": moment,
    }


@asynccontextmanager
async def open_app(database):
    """Yield an app that is open, not running, and the path of its HubSpot connection's door."""
    transport = AsgiTransport()
    (hubspot,) = build_simulators(("hubspot",), clock=SystemClock(), transport=transport, seed=1)
    hubspot.base_url = "http://hubspot.test"
    transport.add(hubspot.base_url, hubspot.app)
    app = App(
        settings=Settings(database=database, public_url=HOST),
        ports=Ports.system(transport),
    )
    async with app:
        connection = await app.connections.add(
            platform="hubspot",
            business_id="acme",
            secrets=hubspot.credentials,
            base_url=hubspot.base_url,
            webhook_secret=SECRET,
        )
        transport.add(HOST, app.asgi())
        yield app, f"/hooks/hubspot/{connection.id}"


async def post(app, path, body):
    request = HttpRequest(method="POST", url=HOST + path, headers=signed(path, body), body=body)
    return await app.ports.transport.send(request)


async def stored(app):
    return await app.store.read(lambda tx: list_events(tx, pattern="platform.changed"))


@pytest.mark.real_time
async def test_an_answered_webhook_is_there_when_the_database_is_opened_again(tmp_path):
    body = body_of(1)
    async with open_app(tmp_path / "app.db") as (app, path):
        assert (await post(app, path, body)).status == 200

    async with open_app(tmp_path / "app.db") as (app, path):
        (event,) = await stored(app)
        assert event.raw == body
        assert (await post(app, path, body)).status == 200
        assert len(await stored(app)) == 1, "the same fact, sent to the process after the restart"


@pytest.mark.real_time
async def test_a_database_that_is_held_is_a_503_before_the_platform_gives_up(tmp_path):
    database = tmp_path / "app.db"
    async with open_app(database) as (app, path):
        assert (await post(app, path, body_of(1))).status == 200
        holder = sqlite3.connect(database)
        holder.execute("BEGIN IMMEDIATE")
        body = body_of(2)

        began = time.monotonic()
        refused = await post(app, path, body)
        took_s = time.monotonic() - began
        holder.rollback()
        holder.close()

        assert refused.status == 503
        assert int(refused.headers["retry-after"]) > 0
        assert took_s < 5
        assert (await post(app, path, body)).status == 200
        assert len(await stored(app)) == 2, "the repeated webhook is one event, however often tried"


@pytest.mark.real_time
async def test_a_body_without_a_length_is_cut_off_at_the_limit(tmp_path):
    async with open_app(tmp_path / "app.db") as (app, path):
        taken, answered = 0, []

        async def receive():
            nonlocal taken
            taken += 1
            return {"type": "http.request", "body": b" " * 65_536, "more_body": True}

        async def send(message):
            answered.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"dovetail.test"), (b"transfer-encoding", b"chunked")],
            "server": ("dovetail.test", 80),
        }
        await app.asgi()(scope, receive, send)

        assert answered[0]["status"] == 413
        assert taken <= 1024 * 1024 // 65_536 + 1, "it stops reading, however much is sent"
        assert await stored(app) == []
