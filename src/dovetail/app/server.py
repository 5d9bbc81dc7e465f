"""
The HTTP door of a running app, served by uvicorn in the same loop.

    /hooks/...   webhooks: the one part that the world must reach
    /healthz     200 while the process is alive: start it anew when not
    /readyz      200 while work should be sent here
    /metrics     for Prometheus      /status   for people      /now   for `dovetail top`
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from dovetail.app.intake import Intake
from dovetail.app.metrics import CONTENT_TYPE
from dovetail.app.operations import Operations
from dovetail.errors import EnvironmentInUseError, StoreError


def build_asgi(
    intake: Intake,
    status: Callable[[], Awaitable[dict[str, Any]]],
    operations: Operations,
) -> Door:
    """Return the ASGI app, for a server or for tests in process."""

    async def health(_: Request) -> Response:
        faults = operations.health.faults()
        if faults:
            return JSONResponse({"status": "faulty", "faults": faults}, status_code=503)
        return JSONResponse({"status": "ok"})

    async def readiness(_: Request) -> Response:
        obstacles = await operations.health.obstacles()
        if obstacles:
            return JSONResponse({"ready": False, "because": obstacles}, status_code=503)
        return JSONResponse({"ready": True})

    async def show_status(_: Request) -> Response:
        return JSONResponse({**await status(), **operations.live()})

    async def show_now(_: Request) -> Response:
        return JSONResponse(operations.live())

    async def show_metrics(_: Request) -> Response:
        try:
            return Response(await operations.metrics.render(), media_type=CONTENT_TYPE)
        except StoreError as error:
            return PlainTextResponse(f"# {error.message}\n", status_code=503)

    everything = Starlette(
        routes=[
            Route("/hooks/{platform}/{connection}", intake, methods=["GET", "POST"]),
            Route("/healthz", health),
            Route("/readyz", readiness),
            Route("/status", show_status),
            Route("/now", show_now),
            Route("/metrics", show_metrics),
        ]
    )
    return Door(intake, everything)


class Door:
    """
    The ASGI app: webhooks go straight to the intake, all else through Starlette's routes.

    Middleware and routes take longer than verifying a signature does.

    Args:
        intake: Answers webhooks.
        everything: Answers all requests.
    """

    def __init__(self, intake: Intake, everything: Starlette) -> None:
        self._intake = intake
        self._everything = everything

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "POST" and not scope.get("root_path"):
            parts = scope["path"].split("/")
            if len(parts) == 4 and parts[1] == "hooks" and parts[2] and parts[3]:
                scope["path_params"] = {"platform": parts[2], "connection": parts[3]}
                await self._intake(scope, receive, send)
                return
        await self._everything(scope, receive, send)


class _EmbeddedServer(uvicorn.Server):
    """A server that leaves the process's signals to whoever embeds it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()


class HttpServer:
    """
    Serves the ASGI app.

    Args:
        asgi: The app.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one (see `port` after `start`).
    """

    def __init__(self, asgi: ASGIApp, host: str, port: int) -> None:
        self._asgi = asgi
        self._host = host
        self.port = port
        self._server: _EmbeddedServer | None = None
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None

    def bind(self) -> None:
        """
        Take the port, so that a taken one is told before anything starts.

        Raises:
            EnvironmentInUseError: The port is taken or the address cannot be used.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # Named as TCP, or asyncio leaves Nagle's algorithm on: head and body of an answer are two
        # writes, and the second would wait 40 ms for the other side's delayed acknowledgement.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self.port))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            raise EnvironmentInUseError(
                f"Port {self.port} on {self._host} cannot be used: {error.strerror}. Stop what "
                "is using it, or choose another with --port (0 takes any free one).",
                port=self.port,
            ) from error
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._socket = listener

    @property
    def address(self) -> str:
        """Where this machine reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - read, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Accept requests."""
        if self._socket is None:
            self.bind()
        config = uvicorn.Config(
            self._asgi,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=5,
            server_header=False,
        )
        self._server = _EmbeddedServer(config)
        assert self._socket is not None  # noqa: S101 - bound above
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="http")
        accepting = asyncio.create_task(self._server.accepting.wait())
        await asyncio.wait({accepting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            accepting.cancel()
            await self._task

    async def stop(self) -> None:
        """Finish requests that are being answered, then stop listening."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        if self._socket is not None:
            self._socket.close()
