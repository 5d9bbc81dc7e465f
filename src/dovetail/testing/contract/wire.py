"""The way between connector and simulator: watched, and over a real socket where a test says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from starlette.types import ASGIApp

from dovetail.core.clock import Clock
from dovetail.core.transport import HttpRequest, HttpResponse, Transport
from dovetail.simulator_sdk.sandbox import listen, server_of

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)

Instead = Callable[[HttpRequest], HttpResponse | Exception | None]
"""Says what comes back in place of the platform's answer; None lets the request through."""


class JumpingClock:
    """
    Time for tests over sockets: it stands still until somebody sleeps, which makes it jump.

    So a slow machine changes nothing in what a test sees.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._jumped_s = 0.0

    def monotonic(self) -> float:
        """Return the seconds of all jumps."""
        return self._jumped_s

    def now(self) -> datetime:
        """Return the current moment."""
        return self._start + timedelta(seconds=self._jumped_s)

    async def sleep(self, seconds: float) -> None:
        """Jump, and let other tasks run."""
        self._jumped_s += max(seconds, 0.0)
        await asyncio.sleep(0)


class Exchange(NamedTuple):
    """One request as it left, and its answer; None when none came."""

    request: HttpRequest
    response: HttpResponse | None
    at: datetime

    def carries(self, text: str) -> bool:
        """Return whether the request told the platform a text of ASCII letters and digits."""
        return text.encode() in self.request.body or text in self.request.url


class WatchedTransport:
    """Carries requests, keeps what was said, and answers in the platform's place when told to."""

    def __init__(self, inner: Transport, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._under_way = 0
        self.exchanges: list[Exchange] = []
        self.instead: Instead | None = None
        self.most_under_way = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Return the answer of the inner transport."""
        at = self._clock.now()
        response: HttpResponse | None = None
        self._under_way += 1
        self.most_under_way = max(self.most_under_way, self._under_way)
        try:
            made = self.instead(request) if self.instead is not None else None
            if isinstance(made, Exception):
                raise made
            response = made if made is not None else await self._inner.send(request)
            return response
        finally:
            self._under_way -= 1
            self.exchanges.append(Exchange(request, response, at))

    async def close(self) -> None:
        """Close the inner transport."""
        await self._inner.close()


@contextlib.asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """Serve an application on a free loopback port and yield its base URL."""
    with listen("127.0.0.1", 0) as listener:
        server = server_of(app)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
                await asyncio.sleep(0.001)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running
