"""Calls ASGI applications in process: the HTTP of a test that needs no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from starlette.types import ASGIApp

from dovetail.core.transport import HttpRequest, HttpResponse, TransportError
from dovetail.simulator_sdk.base import IN_PROCESS
from dovetail.simulator_sdk.fault import ConnectionCut


class AsgiTransport:
    """
    Carries requests to the application whose base URL they start with.

    What no application answers for is unreachable. A call that takes longer than its `timeout_s`
    fails for the caller while the application goes on, as over a socket.

    Args:
        apps: Applications by base URL, ``{"https://api.hubapi.com": simulator.app}``.
    """

    def __init__(self, apps: Mapping[str, ASGIApp] | None = None) -> None:
        self._apps: dict[str, ASGIApp] = {}
        self._running: set[asyncio.Task[None]] = set()
        for base_url, app in (apps or {}).items():
            self.add(base_url, app)

    def add(self, base_url: str, app: ASGIApp) -> None:
        """Let an application answer for a base URL."""
        self._apps[base_url.rstrip("/")] = app

    def remove(self, base_url: str) -> None:
        """Make a base URL unreachable."""
        del self._apps[base_url.rstrip("/")]

    async def send(self, request: HttpRequest) -> HttpResponse:
        """
        Return the answer of the application.

        Raises:
            TransportError: No application, a cut connection, a time-out, a crash or an answer
                that is too large.
        """
        app = self._find(request.url)
        exchange = _Exchange(request)
        task = asyncio.create_task(exchange.run(app))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done, _ = await asyncio.wait({task}, timeout=request.timeout_s)
        if not done:
            # The server goes on with it: whoever asked cannot know whether it was applied.
            raise TransportError(
                f"{request.method} {request.url}: no answer in {request.timeout_s:g} s", sent=True
            )
        error = task.exception()
        if isinstance(error, ConnectionCut):
            raise TransportError(f"{request.method} {request.url}: connection cut", sent=True)
        if error is not None and not exchange.complete:
            raise TransportError(
                f"{request.method} {request.url}: the application crashed: {error!r}", sent=True
            ) from error
        return exchange.response()

    async def close(self) -> None:
        """Stop calls whose callers have given up."""
        tasks = set(self._running)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _find(self, url: str) -> ASGIApp:
        for base_url in sorted(self._apps, key=len, reverse=True):
            rest = url.removeprefix(base_url)
            if rest != url and (rest == "" or rest[0] in "/?#"):
                return self._apps[base_url]
        known = ", ".join(self._apps) or "nothing"
        raise TransportError(f"cannot reach {url}; there is {known}", sent=False)


class _Exchange:
    """One request and the answer to it, as ASGI messages."""

    def __init__(self, request: HttpRequest) -> None:
        self.complete = False
        self._request = request
        self._asked = False
        self._status: int | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()

    async def run(self, app: ASGIApp) -> None:
        await app(self._scope(), self._receive, self._send)

    def response(self) -> HttpResponse:
        request = self._request
        if self._status is None or not self.complete:
            raise TransportError(f"{request.method} {request.url}: incomplete answer", sent=True)
        if len(self._body) > request.max_response_bytes:
            raise TransportError(
                f"{request.method} {request.url}: the answer is larger than "
                f"{request.max_response_bytes} bytes",
                sent=True,
            )
        headers: dict[str, str] = {}
        for name, value in self._headers:
            key = name.decode("latin-1").lower()
            text = value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return HttpResponse(status=self._status, headers=headers, body=bytes(self._body))

    def _scope(self) -> dict[str, Any]:
        request = self._request
        parts = urlsplit(request.url)
        named = {name.lower(): value for name, value in request.headers.items()}
        named.setdefault("host", parts.netloc)
        if request.body:
            named.setdefault("content-length", str(len(request.body)))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method.upper(),
            "scheme": parts.scheme,
            "path": unquote(parts.path) or "/",
            "raw_path": (parts.path or "/").encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()
            ],
            "client": ("127.0.0.1", 50000),
            "server": (
                parts.hostname or "",
                parts.port or (443 if parts.scheme == "https" else 80),
            ),
            "extensions": {IN_PROCESS: {}},
        }

    async def _receive(self) -> dict[str, Any]:
        if self._asked:
            # Nobody hangs up: an application that waits for it waits until it is cancelled.
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": self._request.body, "more_body": False}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            self.complete = not message.get("more_body", False)
