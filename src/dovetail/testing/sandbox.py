"""
An app and the platforms it syncs, in one test: simulators in process, on virtual time.

::

    async def test_an_edit_travels():
        async with sandboxed_app(crm, records=20) as world:
            person = (await world.records("hubspot"))[0]
            await world.edit("hubspot", person["id"], phone="+49 30 1234567")
            await world.settle()
            assert ...

Webhooks are signed, sent and verified as they would be over a network.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.app.app import App
from dovetail.app.load import Program, program_of
from dovetail.core import json
from dovetail.core.settings import Settings
from dovetail.core.transport import HttpRequest
from dovetail.service.declaration import Service
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.app import IN_MEMORY, START, make_module, seeded_ports
from dovetail.testing.asgi import AsgiTransport

APP_URL = "http://dovetail.test"


@dataclass
class SandboxedApp:
    """What a test works with: the app, and each platform's simulator by name."""

    app: App
    simulators: Mapping[str, Simulator]
    transport: AsgiTransport

    async def control(self, platform: str, path: str, body: Any = None) -> Any:
        """
        Call a control endpoint of a simulator (``/_sandbox/...``) and return its JSON.

        Raises:
            AssertionError: The simulator refused.
        """
        answer = await self.transport.send(
            HttpRequest(
                method="GET" if body is None else "POST",
                url=f"{self.simulators[platform].base_url}/_sandbox/{path}",
                headers={"content-type": "application/json"},
                body=b"" if body is None else json.encode(body),
            )
        )
        assert answer.status == 200, answer.body.decode()
        return json.decode(answer.body)

    async def records(self, platform: str, resource: str = "contacts") -> list[dict[str, Any]]:
        """Return a platform's records: id, fields (the platform's names), times."""
        found: list[dict[str, Any]] = (await self.control(platform, f"records/{resource}"))[
            "records"
        ]
        return found

    async def edit(
        self, platform: str, id: str | None, resource: str = "contacts", **fields: Any
    ) -> dict[str, Any]:
        """Edit a record as a person would in the platform's own pages; None creates one."""
        body = {"resource": resource, "fields": fields} | ({"id": id} if id else {})
        made: dict[str, Any] = (await self.control(platform, "edit", body))["record"]
        return made

    async def remove(self, platform: str, id: str, resource: str = "contacts") -> None:
        """Delete a record as a person would."""
        await self.control(platform, "edit", {"resource": resource, "id": id, "delete": True})

    async def merge(self, platform: str, id: str, other: str, resource: str = "contacts") -> None:
        """Merge *other* into a record as a person would."""
        await self.control(platform, "edit", {"resource": resource, "id": id, "merge": other})

    async def faults(self, platform: str, *faults: dict[str, Any]) -> None:
        """Make a platform misbehave in these ways, and in no others."""
        await self.control(platform, "faults", {"faults": list(faults), "seed": 1})

    async def calls(self, platform: str) -> int:
        """Return how many API calls a platform has answered."""
        return int((await self.control(platform, "calls"))["total"])

    async def settle(self, seconds: float = 150.0) -> None:
        """Let time pass: webhooks and polls come, and what they cause is done."""
        await self.app.ports.clock.sleep(seconds)
        await self.app.runtime.wait_idle()


@asynccontextmanager
async def sandboxed_app(
    *members: Callable[..., Any] | Service | Program,
    platforms: Sequence[str] = ("hubspot", "salesforce"),
    records: int = 20,
    seed: int = 1,
    business_id: str = DEFAULT_TENANT,
    database: Path = IN_MEMORY,
    webhooks: bool = True,
) -> AsyncIterator[SandboxedApp]:
    """
    Run services and handlers against simulators, connected and after their first sync.

    Args:
        members: Services, ``@on`` and ``@every`` functions, or one loaded `Program`.
        platforms: Which platforms to simulate and connect.
        records: People on each; a quarter of them are the same people everywhere.
        seed: Of everything random.
        business_id: The tenant.
        database: A file, to look at afterwards; in memory when not given.
        webhooks: Whether platforms are asked to send webhooks.
    """
    transport = AsgiTransport({})
    ports = seeded_ports(seed, transport, START)
    simulators = build_simulators(
        tuple(platforms), clock=ports.clock, transport=transport, records=records, seed=seed
    )
    for simulator in simulators:
        simulator.base_url = f"http://{simulator.platform}.test"
        transport.add(simulator.base_url, simulator.app)
    first = members[0] if members else None
    program = first if isinstance(first, Program) else program_of(make_module(*members))  # type: ignore[arg-type]
    settings = Settings(database=database, public_url=APP_URL, shutdown_s=5)
    app = App(program, settings=settings, ports=ports)
    try:
        await app.open()
        for simulator in simulators:
            await app.connections.add(
                platform=simulator.platform,
                business_id=business_id,
                secrets=simulator.credentials,
                base_url=simulator.base_url,
                webhook_secret=simulator.webhook_secret,
            )
        transport.add(APP_URL, app.asgi())
        await app.start(serve=False)
        if webhooks:
            await app.subscribe()
        world = SandboxedApp(app, {one.platform: one for one in simulators}, transport)
        await world.settle(30.0)
        yield world
    finally:
        await app.stop()
        for simulator in simulators:
            await simulator.close()
