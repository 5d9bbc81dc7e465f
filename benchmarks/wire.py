"""A load generator that costs little: sockets that send a prepared request and read one answer."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.rounds import Sample

Requests = Callable[[], bytes]


@contextmanager
def process(target: Callable[..., None], *arguments: Any) -> Iterator[Any]:
    """Start a server in a process of its own and yield what it says through its pipe."""
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=target, args=(there, *arguments), daemon=True)
    server.start()
    there.close()  # so that a server that dies is an error, and nothing is waited for
    try:
        yield here.recv()
    finally:
        server.terminate()
        server.join()


def rate_of(port: int, request: Requests, items: int, at_once: int) -> Sample:
    """Return answers a second; processor time stays 0, for it is spent in the other process."""
    return asyncio.run(_rate_of(port, request, items, at_once))


async def _rate_of(port: int, request: Requests, items: int, at_once: int) -> Sample:
    loop = asyncio.get_running_loop()
    left = iter(range(items))
    clients = [_Client(left, request) for _ in range(at_once)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)
    started = time.perf_counter()
    for client in clients:
        client.send_next()
    await asyncio.gather(*(client.done for client in clients))
    return Sample(items / (time.perf_counter() - started))


class _Client(asyncio.Protocol):
    def __init__(self, left: Iterator[int], request: Requests) -> None:
        self._left = left
        self._request = request
        self._received = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def send_next(self) -> None:
        if next(self._left, None) is None:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(self._request())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        if b" 200 " not in head[:13]:
            self.done.set_exception(AssertionError(f"not accepted: {self._received[:300]!r}"))
            return
        self._received = b""
        self.send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server hung up"))


def post(path: str, body: bytes, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}{headers}content-length: {len(body)}\r\n\r\n".encode() + body
