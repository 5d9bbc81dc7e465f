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
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp

from benchmarks.figure import Figure
from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.core.transport import HttpRequest

AT_ONCE = 64
ROUNDS = 5
HEADERS = {"Authorization": "Bearer benchmark", "Content-Type": "application/json"}
BODY = b'{"properties":{"email":"ada@example.com","firstname":"Ada","phone":"+44 20 7946 0000"}}'
ANSWER = b'{"id":"512","createdAt":"2026-03-01T10:00:00.000Z","properties":{"firstname":"Ada"}}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

Post = Callable[[], Awaitable[None]]
Client = Callable[[str, Callable[[Post], Awaitable[None]]], Awaitable[None]]


def measure(folder: Path, items: int) -> list[Figure]:
    del folder  # nothing is kept
    clients: dict[str, tuple[Client, str]] = {
        "AiohttpTransport": (ours, "ours"),
        "aiohttp": (bare_aiohttp, "limit"),
    }
    if importlib.util.find_spec("pyreqwest") is not None:
        clients["pyreqwest"] = (pyreqwest, "peer")
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        url = f"http://127.0.0.1:{here.recv()}/crm/v3/objects/contacts"
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
        # In turn, so that a busy moment of the machine does not fall on one client alone.
        for _ in range(ROUNDS):
            for name, (client, _) in clients.items():
                runs[name].append(asyncio.run(timed(client, url, max(items // ROUNDS, AT_ONCE))))
    finally:
        server.terminate()
        server.join()
    return [figure(name, clients[name][1], found) for name, found in runs.items()]


def figure(name: str, what: str, runs: list[tuple[float, float]]) -> Figure:
    rates = [rate for rate, _ in runs]
    cpu = statistics.median(cost for _, cost in runs)
    spread = f"{min(rates):,.0f} to {max(rates):,.0f} in {len(runs)} rounds"
    return Figure(
        f"{name}, {AT_ONCE} at once",
        statistics.median(rates),
        what,
        f"{cpu * 1000:.2f} ms of processor time each; {spread}",
    )


async def timed(client: Client, url: str, items: int) -> tuple[float, float]:
    """Return requests a second, and the processor time of one in this process, in seconds."""
    taken: list[tuple[float, float]] = []

    async def use(post: Post) -> None:
        await many(post, AT_ONCE * 4)  # connections are open, and the code is warm
        started, cpu = time.perf_counter(), time.process_time()
        await many(post, items)
        taken.append((time.perf_counter() - started, time.process_time() - cpu))

    await client(url, use)
    ((seconds, cpu_seconds),) = taken
    return items / seconds, cpu_seconds / items


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
