"""Two simulated CRMs and an app that syncs them, in process: what was called, and for how long."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

from dovetail.app.app import App
from dovetail.app.load import load_program
from dovetail.core import json
from dovetail.core.clock import Clock
from dovetail.core.ports import Ports
from dovetail.core.settings import Settings
from dovetail.core.transport import HttpRequest, HttpResponse
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.sync.draft import PUSH
from dovetail.testing.app import IN_MEMORY, seeded_ports
from dovetail.testing.asgi import AsgiTransport

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "crm_sync.py"
PLATFORMS = ("hubspot", "salesforce")

# What a call is for, and how much it takes at most; a look-up takes what an address has room for.
_SOQL, _SOBJECTS = r"/services/data/v[\d.]+/query", r"/services/data/v[\d.]+/composite/sobjects"
_KINDS: Mapping[str, list[tuple[str, str, int]]] = {
    "hubspot": [
        (r"GET /crm/v3/objects/\w+\?", "page", 100),
        (r"POST /crm/v3/objects/\w+/search", "search", 200),
        (r"POST /crm/v3/objects/\w+/batch/read", "read by id", 100),
        (r"POST /crm/v3/objects/\w+/batch/(create|upsert)", "create", 100),
        (r"POST /crm/v3/objects/\w+/batch/update", "update", 100),
    ],
    "salesforce": [
        (rf"GET {_SOQL}\?.*%20IN%20", "look-up", 16_384),
        (rf"GET {_SOQL}", "page", 2000),
        (rf"POST {_SOBJECTS}/\w+", "read by id", 2000),
        (rf"POST {_SOBJECTS}", "create", 200),
        (rf"PATCH {_SOBJECTS}", "update", 200),
    ],
}
KINDS = {
    platform: [(re.compile(pattern), kind, most) for pattern, kind, most in kinds]
    for platform, kinds in _KINDS.items()
}
MOST = {(platform, kind): most for platform in KINDS for _, kind, most in KINDS[platform]}


class CountingTransport(AsgiTransport):
    """Counts, by platform and kind of call, the calls and the rows that they carried."""

    def __init__(self) -> None:
        super().__init__({})
        self.calls: Counter[tuple[str, str]] = Counter()
        self.rows: Counter[tuple[str, str]] = Counter()

    async def send(self, request: HttpRequest) -> HttpResponse:
        answer = await super().send(request)
        host, _, path = request.url.removeprefix("http://").partition("/")
        platform = host.split(".")[0]
        if platform in KINDS and not path.startswith("_sandbox/"):
            kind = _kind(platform, f"{request.method} /{path}")
            self.calls[platform, kind] += 1
            self.rows[platform, kind] += _carried(kind, request, answer)
        return answer

    def least_calls(self) -> int:
        """Return how many calls would carry the same rows if each were full."""
        return sum(
            ceil(rows / MOST[kind]) if kind in MOST else self.calls[kind]
            for kind, rows in self.rows.items()
        )


def _kind(platform: str, line: str) -> str:
    return next((kind for found, kind, _ in KINDS[platform] if found.match(line)), "other")


def _carried(kind: str, request: HttpRequest, answer: HttpResponse) -> int:
    if kind == "look-up":
        return len(request.url)
    if kind in ("page", "search"):
        told = json.decode(answer.body)
        return len(told.get("results", told.get("records", ())))
    asked = json.decode(request.body) if request.body else {}
    return next((len(asked[name]) for name in ("inputs", "ids", "records") if name in asked), 0)


@dataclass
class Synced:
    """The first sync of both sides, from the start of the app until nothing waits."""

    records: int = 0
    calls: int = 0
    least_for_rows: int = 0
    least_for_changes: int = 0
    virtual_s: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    detail: str = field(default="", repr=False)


@contextmanager
def stopwatch(clock: Clock, into: Synced) -> Iterator[None]:
    """Take the time of the clock, of the wall and of the processor."""
    began, wall, cpu = clock.now(), time.perf_counter(), time.process_time()
    yield
    into.virtual_s = (clock.now() - began).total_seconds()
    into.wall_s, into.cpu_s = time.perf_counter() - wall, time.process_time() - cpu


@asynccontextmanager
async def crms(
    ports: Ports,
    transport: AsgiTransport,
    records: int,
    latency_s: float = 0.0,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> AsyncIterator[dict[str, Simulator]]:
    """Simulate both platforms with so many people each; every call takes *latency_s*."""
    built = build_simulators(
        PLATFORMS,
        clock=ports.clock,
        transport=transport,
        records=records,
        seed=1,
        settings=settings,
    )
    for simulator in built:
        simulator.base_url = f"http://{simulator.platform}.test"
        transport.add(simulator.base_url, simulator.app)
        _ = simulator.tables
        if latency_s:
            simulator.faults.replace([{"kind": "latency", "seconds": latency_s}])
    try:
        yield {one.platform: one for one in built}
    finally:
        for simulator in built:
            await simulator.close()


async def first_sync(
    records: int, *, latency_s: float = 0.0, program: Path = EXAMPLE, database: Path = IN_MEMORY
) -> Synced:
    """Sync what both hold, with so many records on each side."""
    transport, synced = CountingTransport(), Synced()
    ports = seeded_ports(1, transport)
    async with crms(ports, transport, records, latency_s) as simulators:
        app = App(load_program(program), settings=Settings(database=database), ports=ports)
        await app.open()
        for one in simulators.values():
            await app.connections.add(
                platform=one.platform,
                business_id=DEFAULT_TENANT,
                secrets=one.credentials,
                base_url=one.base_url,
                webhook_secret=one.webhook_secret,
            )
        held = {name: len(list(one.table("contacts"))) for name, one in simulators.items()}
        try:
            with stopwatch(ports.clock, synced):
                await app.start(serve=False)
                await settled(app)
            await _count(app, transport, held, synced)
        finally:
            await app.stop()
    return synced


async def settled(app: App, pause_s: float = 0.05) -> None:
    """Wait until everything was read once and nothing waits to be written."""
    while await app.runtime.open_count([PUSH]) or not (await app.sync.status()).is_settled:
        await app.ports.clock.sleep(pause_s)


async def _count(
    app: App, transport: CountingTransport, held: Mapping[str, int], synced: Synced
) -> None:
    """Count the calls; the least for the changes reads each record once, and writes each once."""
    synced.records = sum(held.values())
    synced.calls = transport.calls.total()
    synced.least_for_rows = transport.least_calls()
    status = await app.sync.status()
    for spoke in status.spokes:
        made, written = (spoke.counts.get(name, 0) for name in ("made", "written"))
        of = spoke.platform
        synced.least_for_changes += ceil(held[of] / MOST[of, "page"])
        synced.least_for_changes += ceil(made / MOST[of, "create"])
        synced.least_for_changes += ceil(written / MOST[of, "update"])
    parts = sorted(transport.calls.items(), key=lambda one: -one[1])
    synced.detail = ", ".join(f"{of} {kind} {number}" for (of, kind), number in parts)
