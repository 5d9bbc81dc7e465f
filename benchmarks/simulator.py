"""Requests a second of a simulated platform, beside its server answering without looking."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.rounds import alternate, rate, spread
from benchmarks.row import Row
from benchmarks.wire import process, rate_of

AT_ONCE = 64
PATH = "/crm/v3/objects/contacts"
NO_LIMIT = 10**9


def measure(folder: Path, items: int) -> list[Row]:
    del folder
    items = max(items // 10, AT_ONCE)
    with process(serve) as (port, empty, token):
        head = f"GET {PATH}?limit=10 HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        request = f"{head}authorization: Bearer {token}\r\n\r\n".encode()
        found = alternate(
            {
                "ours": lambda _: rate_of(port, lambda: request, items, AT_ONCE),
                "empty": lambda _: rate_of(empty, lambda: request, items, AT_ONCE),
            }
        )
    return [
        Row(
            "simulated HubSpot, a page of ten contacts",
            rate(found["ours"]),
            "requests/s",
            "the same server, empty handler",
            rate(found["empty"]),
            note=f"{AT_ONCE} at once; {spread(found['ours'])}",
        )
    ]


def serve(told: Connection) -> None:
    asyncio.run(serve_for_ever(told))


async def serve_for_ever(told: Connection) -> None:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from dovetail.app.server import HttpServer
    from dovetail.core.clock import SystemClock
    from dovetail.simulator_sdk.sandbox import build_simulators
    from dovetail.testing.asgi import AsgiTransport

    async def nothing(request: Request) -> Response:
        del request
        return JSONResponse({"results": []})

    built: Any = build_simulators(
        ("hubspot",),
        clock=SystemClock(),
        transport=AsgiTransport({}),
        records=1000,
        seed=1,
        burst_limit=NO_LIMIT,
        daily_limit=NO_LIMIT,
    )
    simulator = built[0]
    simulator.base_url = "http://127.0.0.1"

    async def simulated(scope: Any, receive: Any, send: Any) -> None:
        await simulator.app(scope, receive, send)

    app: Any = simulated
    doors = [
        HttpServer(app, "127.0.0.1", 0),
        HttpServer(Starlette(routes=[Route(PATH, nothing)]), "127.0.0.1", 0),
    ]
    for door in doors:
        await door.start()
    told.send((doors[0].port, doors[1].port, next(iter(simulator.credentials.values()))))
    await asyncio.Event().wait()
