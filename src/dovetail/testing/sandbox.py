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
from typing import Any, Self, TypeVar

from dovetail.app.app import App
from dovetail.app.load import Program, program_of
from dovetail.core import json
from dovetail.core.ports import Ports
from dovetail.core.settings import Settings
from dovetail.core.transport import HttpRequest
from dovetail.model.entity import Entity
from dovetail.service.context import db
from dovetail.service.declaration import Service
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.app import IN_MEMORY, START, make_module, seeded_ports
from dovetail.testing.asgi import AsgiTransport

E = TypeVar("E", bound=Entity)

APP_URL = "http://dovetail.test"


@dataclass
class SandboxedApp:
    """What a test works with: the app, and each platform's simulator by name."""

    app: App
    simulators: Mapping[str, Simulator]
    transport: AsgiTransport
    business_id: str = DEFAULT_TENANT

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

    async def records(
        self, platform: str, resource: str = "contacts", **equal: Any
    ) -> list[dict[str, Any]]:
        """Return a platform's records that have these values: id, fields (its names), times."""
        found = (await self.control(platform, f"records/{resource}"))["records"]
        return [
            one
            for one in found
            if all(one["fields"].get(name) == value for name, value in equal.items())
        ]

    async def ours(self, entity: type[E], **equal: Any) -> list[E]:
        """Return what Dovetail stores of an entity and has these values."""
        async with self.app.session(self.business_id):
            return await db.query(entity, **equal)

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

    async def restart(self) -> None:
        """Stop the app and start another on the same database, which must be a file."""
        assert not self.app.store.in_memory, "restart() needs sandboxed_app(database=…)"
        ports = self.app.ports
        await self.app.stop()
        self.app = App(self.app.program, settings=self.app.settings, ports=ports)
        await self.app.open()
        self.transport.add(APP_URL, self.app.asgi())
        await self.app.start(serve=False)

    async def add_tenant(self, business_id: str, *, records: int = 20, seed: int = 2) -> Self:
        """Connect another tenant to platforms of its own; what is returned sees those."""
        ports = self.app.ports
        made = _simulate(ports, self.transport, tuple(self.simulators), business_id, records, seed)
        await _connect(self.app, made, business_id)
        await self.app.refresh()
        await self.app.subscribe()
        return type(self)(self.app, made, self.transport, business_id)


@asynccontextmanager
async def sandboxed_app(
    *members: Callable[..., Any] | Service | Program,
    platforms: Sequence[str] = ("hubspot", "salesforce"),
    records: int = 20,
    seed: int = 1,
    business_id: str = DEFAULT_TENANT,
    database: Path = IN_MEMORY,
    webhooks: bool = True,
    faults: Mapping[str, Sequence[dict[str, Any]]] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
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
        faults: By platform, what goes wrong from the first sync on, until `faults` says otherwise.
        settings: By platform, arguments of its simulator.
    """
    transport = AsgiTransport({})
    ports = seeded_ports(seed, transport, START)
    simulators = _simulate(ports, transport, tuple(platforms), business_id, records, seed, settings)
    first = members[0] if members else None
    program = first if isinstance(first, Program) else program_of(make_module(*members))  # type: ignore[arg-type]
    own = Settings(database=database, public_url=APP_URL, shutdown_s=5)
    app = App(program, settings=own, ports=ports)
    world: SandboxedApp | None = None
    try:
        await app.open()
        await _connect(app, simulators, business_id)
        world = SandboxedApp(app, simulators, transport, business_id)
        for platform, described in (faults or {}).items():
            await world.faults(platform, *described)
        transport.add(APP_URL, app.asgi())
        await app.start(serve=False)
        if webhooks:
            await app.subscribe()
        await world.settle(30.0)
        yield world
    finally:
        await (app if world is None else world.app).stop()
        for simulator in simulators.values():
            await simulator.close()


def _simulate(
    ports: Ports,
    transport: AsgiTransport,
    platforms: Sequence[str],
    business_id: str,
    records: int,
    seed: int,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Simulator]:
    made = build_simulators(
        platforms,
        clock=ports.clock,
        transport=transport,
        records=records,
        seed=seed,
        settings=settings,
    )
    for simulator in made:
        simulator.base_url = f"http://{simulator.platform}.{business_id}.test"
        transport.add(simulator.base_url, simulator.app)
    return {simulator.platform: simulator for simulator in made}


async def _connect(app: App, simulators: Mapping[str, Simulator], business_id: str) -> None:
    for simulator in simulators.values():
        await app.connections.add(
            platform=simulator.platform,
            business_id=business_id,
            secrets=simulator.credentials,
            base_url=simulator.base_url,
            webhook_secret=simulator.webhook_secret,
        )
