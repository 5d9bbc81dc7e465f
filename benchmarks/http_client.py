"""
How many requests a second one event loop sends with our transport, bare aiohttp, and pyreqwest.

pyreqwest is no dependency; it is measured where it can be imported::

    python -m pip install --target /tmp/pyreqwest pyreqwest
    PYTHONPATH=/tmp/pyreqwest make bench ONLY=http_client
"""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
from collections.abc import Awaitable, Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp

from benchmarks.rounds import Sample, alternate, cost, rate, spread
from benchmarks.rounds import timed as measured
from benchmarks.row import ROUNDS, Row
from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.core.transport import HttpRequest

AT_ONCE = 64
HEADERS = {"Authorization": "Bearer benchmark", "Content-Type": "application/json"}
BODY = b'{"properties":{"email":"ada@example.com","firstname":"Ada","phone":"+44 20 7946 0000"}}'
ANSWER = b'{"id":"512","createdAt":"2026-03-01T10:00:00.000Z","properties":{"firstname":"Ada"}}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

Post = Callable[[], Awaitable[None]]
Client = Callable[[str, Callable[[Post], Awaitable[None]]], Awaitable[None]]


def measure(folder: Path, items: int) -> list[Row]:
    del folder  # nothing is kept
    clients: dict[str, Client] = {"ours": ours, "aiohttp": bare_aiohttp}
    if importlib.util.find_spec("pyreqwest") is not None:
        clients["pyreqwest"] = pyreqwest
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    there.close()  # so that a server that dies is an error, and nothing is waited for
    try:
        url = f"http://127.0.0.1:{here.recv()}/crm/v3/objects/contacts"
        each = max(items // ROUNDS, AT_ONCE)
        found = alternate(
            {
                name: lambda _, client=client: asyncio.run(timed(client, url, each))
                for name, client in clients.items()
            }
        )
    finally:
        server.terminate()
        server.join()
    return [row("aiohttp, bare", found, "aiohttp"), row("pyreqwest", found, "pyreqwest")]


def row(beside: str, found: dict[str, list[Sample]], peer: str) -> Row:
    name, mine, theirs = f"HTTP client, {AT_ONCE} at once", found["ours"], found.get(peer)
    if theirs is None:
        return Row(name, rate(mine), "requests/s", f"{beside}: not installed", None)
    note = f"processor time {cost(mine):.2f} ms beside {cost(theirs):.2f} ms; {spread(mine)}"
    return Row(name, rate(mine), "requests/s", beside, rate(theirs), note=note)


async def timed(client: Client, url: str, items: int) -> Sample:
    """Return requests a second, and the processor time of one in this process."""
    taken: list[Sample] = []

    async def use(post: Post) -> None:
        await many(post, AT_ONCE * 4)  # connections are open, and the code is warm
        with measured(items) as sample:
            await many(post, items)
        taken.append(sample)

    await client(url, use)
    return taken[0]


async def many(post: Post, items: int) -> None:
    numbers = iter(range(items))

    async def worker() -> None:
        for _ in numbers:
            await post()

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def ours(url: str, use: Callable[[Post], Awaitable[None]]) -> None:
    transport = AiohttpTransport()
    request = HttpRequest(method="POST", url=url, headers=HEADERS, body=BODY)

    async def post() -> None:
        check((await transport.send(request)).body)

    await use(post)
    await transport.close()


async def bare_aiohttp(url: str, use: Callable[[Post], Awaitable[None]]) -> None:
    async with aiohttp.ClientSession() as session:

        async def post() -> None:
            async with session.post(url, headers=HEADERS, data=BODY) as answer:
                check(await answer.read())

        await use(post)


async def pyreqwest(url: str, use: Callable[[Post], Awaitable[None]]) -> None:
    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().timeout(timedelta(seconds=30)).follow_redirects(False)
    async with builder.build() as client:

        async def post() -> None:
            request = client.post(url).headers(HEADERS).body_bytes(BODY).build()
            check(bytes(await (await request.send()).bytes()))

        await use(post)


def check(body: bytes) -> None:
    if body != ANSWER:
        raise AssertionError(f"an answer that was not sent: {body[:80]!r}")


def serve(told: Connection) -> None:
    asyncio.run(answer_for_ever(told))


async def answer_for_ever(told: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0, backlog=512)
    told.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


class Answering(asyncio.Protocol):
    """Costs as little as a server in Python can, so that the client is what is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            whole = end + 4 + len(BODY)
            if len(self.received) < whole:
                return
            self.received = self.received[whole:]
            self.transport.write(HEAD % len(ANSWER) + ANSWER)
