"""
Webhooks: verified, deduplicated, committed, then answered; beside the server doing nothing.

Both doors are served in one process by the same server, the empty one reading the body and
answering; the load comes from another process.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.rounds import Sample, alternate, rate, spread
from benchmarks.row import Row
from benchmarks.wire import post, process, rate_of

AT_ONCE = 64
SECRET = "the-secret"
EVENT = {
    "subscriptionId": 12345,
    "portalId": 62515,
    "appId": 54321,
    "subscriptionType": "contact.propertyChange",
    "attemptNumber": 0,
    "propertyName": "lifecyclestage",
    "propertyValue": "customer",
    "changeSource": "CRM_UI",
}
_numbers = itertools.count(1)


def measure(folder: Path, items: int) -> list[Row]:
    items = max(items // 10, AT_ONCE)
    with process(serve, folder / "intake.db") as (port, empty, path):

        def ours(_: int) -> Sample:
            return rate_of(port, lambda: signed(f"http://127.0.0.1{path}", path), items, AT_ONCE)

        def nothing(_: int) -> Sample:
            return rate_of(empty, lambda: signed("http://127.0.0.1", path), items, AT_ONCE)

        found = alternate({"ours": ours, "empty": nothing})
    return [
        Row(
            "webhook, answered after its commit",
            rate(found["ours"]),
            "requests/s",
            "the same server, empty handler",
            rate(found["empty"]),
            at_least=0.4,
            note=f"one event each, {AT_ONCE} at once; {spread(found['ours'])}",
        )
    ]


def signed(url: str, path: str) -> bytes:
    """A request that nobody sent before, signed as HubSpot does."""
    number, now = next(_numbers), str(int(time.time() * 1000))
    body = json.dumps([EVENT | {"eventId": number, "objectId": number, "occurredAt": int(now)}])
    digest = hmac.new(SECRET.encode(), f"POST{url}{body}{now}".encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    headers = f"x-hubspot-signature-v3: {signature}\r\nx-hubspot-request-timestamp: {now}\r\n"
    return post(path, body.encode(), headers)


def serve(told: Connection, database: Path) -> None:
    asyncio.run(serve_for_ever(told, database))


async def serve_for_ever(told: Connection, database: Path) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from dovetail.app.app import App
    from dovetail.app.memory import settle_memory
    from dovetail.app.server import HttpServer
    from dovetail.core.log import configure_logging
    from dovetail.core.ports import Ports
    from dovetail.core.settings import Settings
    from dovetail.simulator_sdk.sandbox import build_simulators
    from dovetail.testing.asgi import AsgiTransport

    async def nothing(request: Request) -> Response:
        await request.body()
        return JSONResponse({"accepted": 0})

    configure_logging("error")
    ports = Ports.system(transport := AsgiTransport({}))
    simulators: Any = build_simulators(
        ("hubspot",), clock=ports.clock, transport=transport, records=0, seed=1
    )
    simulators[0].base_url = "http://hubspot.test"
    transport.add(simulators[0].base_url, simulators[0].app)
    app = App(settings=Settings(database=database, port=0), ports=ports)
    await app.start()
    connection = await app.connections.add(
        platform="hubspot",
        business_id="acme",
        secrets=simulators[0].credentials,
        base_url=simulators[0].base_url,
        webhook_secret=SECRET,
    )
    route = Route("/hooks/{platform}/{connection}", nothing, methods=["POST"])
    empty = HttpServer(Starlette(routes=[route]), "127.0.0.1", 0)
    await empty.start()
    settle_memory()  # as `dovetail run` does
    told.send((app.port, empty.port, f"/hooks/hubspot/{connection.id}"))
    await asyncio.Event().wait()
