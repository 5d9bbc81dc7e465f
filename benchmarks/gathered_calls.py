"""
Handler runs that each update one contact at HubSpot, all at the same time, 50 ms an answer.

Beside it, in the same run: the same handler with a step that makes its own call, which is what a
program without gathering does. Simulator and time are the test kit's, so that seconds are those of
latency and quota (100 calls in 10 s), and the processor's are told apart.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.row import FEW_ROUNDS, Row
from dovetail import Event, on, platform, send, step
from dovetail.connector_sdk.record import Write
from dovetail.core.log import configure_logging
from dovetail.testing.loop import run
from dovetail.testing.sandbox import SandboxedApp, sandboxed_app

LATENCY = {"kind": "latency", "seconds": 0.05}


@on("title.given")
async def gathered(event: Event) -> None:
    asked = event.payload
    await platform("hubspot").contacts.update(asked["id"], {"jobtitle": asked["title"]})


def alone(connectors: list[Any]) -> Any:
    async def update(id: str, title: str) -> str:
        (connector,) = connectors
        resource = connector.resource("contacts")
        write = Write(action="update", key=id, id=id, fields={"jobtitle": title})
        (result,) = await connector.write(resource, [write], tuple(resource.fields))
        if result.error is not None:
            raise result.error
        return str(result.id)

    @on("title.given")
    async def handle(event: Event) -> None:
        await step("update", update, event.payload["id"], event.payload["title"])

    return handle


def measure(folder: Path, items: int) -> list[Row]:
    del folder
    configure_logging("error")
    runs = max(items // 20, 20)
    ours, theirs = [], []
    for _ in range(FEW_ROUNDS):
        ours.append(run(update_all(runs, gathers=True)))
        theirs.append(run(update_all(runs, gathers=False)))
    beside = "a step that makes its own call, same run"
    note = "simulated HubSpot in the same process; lower is better"

    def row(name: str, part: int, unit: str, goal: float | None = None, scale: float = 1) -> Row:
        mine, others = (
            scale * statistics.median(one[part] for one in found) for found in (ours, theirs)
        )
        return Row(name, mine, unit, beside, others, ratio_at_most=goal, note=note)

    what = f"{runs:,} runs that update a contact each"
    return [
        row(f"{what}: API calls", 0, "calls", 0.05),
        row(f"{what}: latency and quota, 50 ms a call", 1, "s", 0.1),
        row("processor time of one", 2, "ms", scale=1000 / runs),
    ]


async def update_all(runs: int, *, gathers: bool) -> tuple[float, float, float]:
    """Return API calls, seconds of virtual time, and seconds of the processor."""
    connectors: list[Any] = []
    handler = gathered if gathers else alone(connectors)
    options = {"platforms": ("hubspot",), "records": runs, "webhooks": False}
    async with sandboxed_app(handler, **options) as world:
        connection, *_ = await world.app.connections.list()
        connector = await world.app.connector(connection.id)
        await connector.prepare(connector.resource("contacts"))
        connectors.append(connector)
        people = await world.records("hubspot")
        await world.faults("hubspot", LATENCY)
        calls, began = await world.calls("hubspot"), world.app.ports.clock.now()
        started = time.process_time()
        await ask(world, [one["id"] for one in people])
        used = time.process_time() - started
        seconds = (world.app.ports.clock.now() - began).total_seconds()
        made = await world.calls("hubspot") - calls
        told = {one["fields"].get("jobtitle") for one in await world.records("hubspot")}
        assert told == {"Chief"}, told
    return made, seconds, used


async def ask(world: SandboxedApp, ids: list[str]) -> None:
    async with world.app.session():
        for id in ids:
            await send("title.given", {"id": id, "title": "Chief"}, key=id)
    await world.app.runtime.wait_idle()
