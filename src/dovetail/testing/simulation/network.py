"""The HTTP between the app and the simulators, seen from above."""

from __future__ import annotations

import asyncio
import contextvars
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp

from dovetail.core.transport import HttpRequest, HttpResponse, TransportError
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.simulation.tokens import Tokens
from dovetail.testing.simulation.trace import Trace


@dataclass(frozen=True, slots=True)
class Answer:
    """What the app was told, and after how many lines of the trace."""

    turn: int
    url: str
    body: bytes


class Network:
    """
    Carries every request of the world and writes it down.

    Args:
        trace: Where each exchange is noted.
        outside: Makes a context that belongs to no process, for what a server goes on doing.
        tokens: Where it is noted what the app asks token endpoints for.
    """

    def __init__(
        self, trace: Trace, outside: Callable[[], contextvars.Context], tokens: Tokens
    ) -> None:
        self.tokens = tokens
        self._transport = AsgiTransport({})
        self._trace = trace
        self._outside = outside
        self.sent_webhooks: list[HttpRequest] = []
        self.accepted_webhooks: list[HttpRequest] = []
        self.calls = 0
        self.subscribed_s: dict[str, float] = {}
        """By base URL: when the last subscription to webhooks was taken."""
        self.answers: list[Answer] = []
        self.on_write: Callable[[str], None] = _nothing
        """Called with the URL of a call of the app that may have changed something, answered."""
        self.on_call: Callable[[HttpRequest, int], None] = _nothing
        """Called with such a call, answered or not, and the turn at which it was sent."""

    def add(self, base_url: str, app: ASGIApp) -> None:
        """Let an application answer for a base URL."""
        self._transport.add(base_url, app)

    def drop(self, base_url: str) -> None:
        """Make a base URL unreachable, if it was not."""
        if base_url in self._transport._apps:
            self._transport.remove(base_url)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Carry a webhook of a platform."""
        self.sent_webhooks.append(request)
        response = await self.send_from(request, "platform")
        if 200 <= response.status < 300:
            self.accepted_webhooks.append(request)
        return response

    async def browse(self, request: HttpRequest) -> HttpResponse:
        """
        Carry what a person does in a browser.

        Raises:
            TransportError: There is no answer.
        """
        return await self._transport.send(request)

    async def send_from(self, request: HttpRequest, sender: str) -> HttpResponse:
        """
        Carry a request; the server works on outside of the caller's process.

        Raises:
            TransportError: There is no answer.
        """
        self.calls += sender == "app"
        label = f"{sender} {request.method} {request.url} {zlib.crc32(request.body):08x}"
        self._trace.add(label)
        sent = self._trace.size
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._transport.send(request), context=self._outside())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            # Shielded: a caller that dies does not stop what the server does.
            response = await asyncio.shield(task)
        except TransportError as error:
            self._trace.add(f"{label} broke sent={error.sent}")
            raise
        finally:
            if sender == "app" and request.method != "GET":
                self.on_call(request, sent)
        self._trace.add(f"{label} -> {response.status} {zlib.crc32(response.body):08x}")
        if sender == "app":
            self.answers.append(Answer(self._trace.size, request.url, response.body))
        if request.method == "POST" and response.status == 201:
            base_url, _, path = request.url.partition("/webhooks/")
            if "/subscriptions" in path:
                self.subscribed_s[base_url] = loop.time()
        if sender == "app" and request.method != "GET" and response.status < 300:
            self.on_write(request.url)
        return response

    async def close(self) -> None:
        """Stop what is going on."""
        await self._transport.close()


def _nothing(*_: object) -> None: ...
