"""A sandbox in a thread, for programs and tests that block: vendors' SDKs, other HTTP clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dovetail.simulator_sdk.sandbox import serve_sandbox

_STOP_S = 30.0


@contextmanager
def served_sandbox(
    platforms: Sequence[str],
    *,
    records: int = 0,
    seed: int = 0,
    load: Sequence[Path] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[dict[str, dict[str, Any]]]:
    """
    Serve simulators on free ports of this machine while the block runs.

    ::

        with served_sandbox(["hubspot"], records=20) as sandbox:
            client = Client.create(
                access_token=sandbox["hubspot"]["credentials"]["access_token"],
                base_url=sandbox["hubspot"]["base_url"],
                host=sandbox["hubspot"]["base_url"],
            )

    Args:
        platforms: Names of platforms.
        records: People to seed on each platform.
        seed: Which people, credentials and ids.
        load: CSV files to load.
        settings: By platform, arguments of its simulator.

    Yields:
        What a client of each platform needs, by platform (see `describe_simulator`).
    """
    server = _Server()
    thread = threading.Thread(
        target=server.run,
        args=(platforms,),
        kwargs={"records": records, "seed": seed, "load": load, "settings": settings},
        name="dovetail-sandbox",
        daemon=True,
    )
    thread.start()
    try:
        yield server.wait()
    finally:
        server.stop()
        thread.join(_STOP_S)


class _Server:
    """Runs a loop in a thread; the failure of that thread is raised where it is waited for."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._described: dict[str, dict[str, Any]] = {}
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def run(self, platforms: Sequence[str], **options: Any) -> None:
        """Serve until `stop`; the body of the thread."""
        try:
            asyncio.run(self._serve(platforms, options))
        except BaseException as exc:
            self._failure = exc
        finally:
            self._ready.set()

    def wait(self) -> dict[str, dict[str, Any]]:
        """Return what clients need, when they can come."""
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self._described

    def stop(self) -> None:
        """Let the thread end."""
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)

    async def _serve(self, platforms: Sequence[str], options: Mapping[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await serve_sandbox(platforms, port=0, on_ready=self._on_ready, stop=self._stop, **options)

    def _on_ready(self, described: list[dict[str, Any]]) -> None:
        self._described = {each["platform"]: each for each in described}
        self._ready.set()
