"""Builds simulators by platform name and serves them: what ``dovetail sandbox`` runs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import pkgutil
import random
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

import dovetail.simulators
from dovetail.core import json
from dovetail.core.clock import Clock, SystemClock
from dovetail.core.extension import SIMULATORS, extensions, only_extension
from dovetail.core.transport import Transport
from dovetail.errors import EnvironmentInUseError, UnknownPlatformError
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.load import load_file
from dovetail.simulator_sdk.outgoing import OutgoingTransport


def simulated_platforms() -> list[str]:
    """Return the platforms that have a simulator, in Dovetail or in another package."""
    return sorted({*_built_in(), *extensions(SIMULATORS)})


@cache
def _built_in() -> frozenset[str]:
    return frozenset(module.name for module in pkgutil.iter_modules(dovetail.simulators.__path__))


def simulator_class(platform: str) -> type[Simulator]:
    """
    Return the simulator of a platform: the one `Simulator` subclass its module exports.

    Raises:
        UnknownPlatformError: There is none of that name.
        BrokenExtensionError: Another package adds it, and it cannot be used.
    """
    if platform in _built_in():
        return _exported(platform)
    added = only_extension(SIMULATORS, platform)
    if added is not None:
        return added.load(Simulator)
    known = simulated_platforms()
    close = get_close_matches(platform, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
    raise UnknownPlatformError(
        f"no simulator for platform {platform!r}; {hint}. One of your own must be installed "
        "(`pip install -e FOLDER`)."
    )


def _exported(platform: str) -> type[Simulator]:
    module = importlib.import_module(f"dovetail.simulators.{platform}")
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Simulator) and value.platform == platform:
            return value
    raise UnknownPlatformError(
        f"dovetail.simulators.{platform} has no Simulator with platform = {platform!r}"
    )


def build_simulators(
    platforms: Sequence[str] = (),
    *,
    clock: Clock,
    transport: Transport,
    records: int = 0,
    seed: int = 0,
    load: Sequence[Path] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> list[Simulator]:
    """
    Return a simulator for each platform (all that exist when none is named), files loaded.

    The same seed gives the same data, credentials and ids. `options` go to each simulator,
    `settings` to that of a platform.
    """
    simulators = []
    for platform in dict.fromkeys(platforms or simulated_platforms()):
        simulators.append(
            simulator_class(platform)(
                clock=clock,
                rng=random.Random(f"{seed}/{platform}"),
                transport=transport,
                records=records,
                seed=seed,
                **options,
                **(settings or {}).get(platform, {}),
            )
        )
    for path in load:
        load_file(path, simulators)
    return simulators


def describe_simulator(simulator: Simulator) -> dict[str, Any]:
    """Return what a client needs to use a simulator."""
    described: dict[str, Any] = {
        "platform": simulator.platform,
        "base_url": simulator.base_url,
        "credentials": dict(simulator.credentials),
        "webhook_secret": simulator.webhook_secret,
    }
    if simulator.authorize_path:
        described["authorize_url"] = simulator.base_url + simulator.authorize_path
        described["token_url"] = simulator.base_url + simulator.token_path
    return described


async def serve_sandbox(  # noqa: PLR0913 - each is an option of the command
    platforms: Sequence[str] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 9400,
    records: int = 0,
    seed: int = 0,
    load: Sequence[Path] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    on_ready: Callable[[list[dict[str, Any]]], None],
    stop: asyncio.Event | None = None,
    transport: Transport | None = None,
) -> None:
    """
    Serve simulators until *stop* is set or the task is cancelled.

    An index that lists them answers on *port*, the first platform on the next port, and so on;
    with port 0 each gets a free one. Installs no signal handlers.

    Args:
        platforms: Names; all that exist when empty.
        host: Address to listen on.
        port: Port of the index.
        records: People to seed on each platform.
        seed: Which people, credentials and ids.
        load: CSV files to load (see `load_file`).
        settings: By platform, arguments of its simulator.
        on_ready: Called once with what each platform's client needs, when all accept requests.
        stop: Ends the serving.
        transport: Carries webhooks; a client of its own when None.

    Raises:
        UnknownPlatformError: A platform has no simulator.
        EnvironmentInUseError: A port is taken; nothing was served.
        ConfigError: A file to load is wrong; the message names file, line and column.
    """
    chosen = list(dict.fromkeys(platforms or simulated_platforms()))
    for platform in chosen:
        simulator_class(platform)
    with contextlib.ExitStack() as sockets:
        listeners = [
            sockets.enter_context(listen(host, port + offset if port else 0))
            for offset in range(len(chosen) + 1)
        ]
        carrier = transport or OutgoingTransport()
        simulators: list[Simulator] = []
        try:
            simulators = build_simulators(
                chosen,
                clock=SystemClock(),
                transport=carrier,
                records=records,
                seed=seed,
                load=load,
                settings=settings,
            )
            for simulator, listener in zip(simulators, listeners[1:], strict=True):
                simulator.base_url = _url(host, listener)
                _ = simulator.tables
            described = [describe_simulator(simulator) for simulator in simulators]
            apps: list[ASGIApp] = [_index(described), *(each.app for each in simulators)]
            await _serve(apps, listeners, lambda: on_ready(described), stop or asyncio.Event())
        finally:
            for simulator in simulators:
                await simulator.close()
            if transport is None:
                await carrier.close()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process that runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def server_of(app: ASGIApp) -> uvicorn.Server:
    """Return a server of an application: it leaves signals alone and keeps no log."""
    return _Server(
        uvicorn.Config(
            app,
            interface="asgi3",
            proxy_headers=False,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
    )


async def _serve(
    apps: list[ASGIApp],
    listeners: list[socket.socket],
    on_ready: Callable[[], None],
    stop: asyncio.Event,
) -> None:
    servers = [server_of(app) for app in apps]
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    stopping = asyncio.create_task(stop.wait())
    try:
        while not all(server.started for server in servers):
            if any(task.done() for task in tasks):
                break
            await asyncio.sleep(0.005)
        else:
            on_ready()
        await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens there; port 0 takes a free one.

    Raises:
        EnvironmentInUseError: The port is taken, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, so that asyncio turns Nagle's algorithm off, as it does for sockets it makes.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except (OSError, OverflowError) as exc:
        listener.close()
        raise EnvironmentInUseError(
            f"cannot listen on {host}:{port}: {exc}. Stop what uses the port, or choose another "
            "with --port (the sandbox needs that port and one more for each platform)."
        ) from exc
    listener.setblocking(False)
    return listener


def _url(host: str, listener: socket.socket) -> str:
    # A client cannot connect to "all addresses"; it is on this machine.
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - only compared
    if ":" in shown and not shown.startswith("["):
        shown = f"[{shown}]"
    return f"http://{shown}:{listener.getsockname()[1]}"


def _index(described: list[dict[str, Any]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if Request(scope).url.path == "/":
            body, status = json.encode({"platforms": described}), 200
        else:
            body, status = json.encode({"error": "only / is here; see the ports it lists"}), 404
        response = Response(body, status_code=status, media_type="application/json")
        await response(scope, receive, send)

    return app
