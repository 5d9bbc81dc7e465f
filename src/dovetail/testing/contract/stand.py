"""A bench that runs: a connector and its simulator, in process or over a socket."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Connector, Records
from dovetail.connector_sdk.http import AiohttpTransport, Api
from dovetail.connector_sdk.limits import MemoryBudgetStore, StoredBudget
from dovetail.connector_sdk.record import Cursor, RemoteRecord, Write, WriteResult
from dovetail.connector_sdk.spec import Resource
from dovetail.core.clock import Clock, LoopClock
from dovetail.core.transport import Transport
from dovetail.simulator_sdk.base import Simulator
from dovetail.testing.asgi import AsgiTransport
from dovetail.testing.contract.bench import Bench, Sample
from dovetail.testing.contract.wire import START, Exchange, JumpingClock, WatchedTransport, served

IN_PROCESS = "in process"
OVER_A_SOCKET = "over a socket"
_BASE_URL = "https://platform.test"
# Longer than any platform of this kind keeps a change from its readers.
SETTLED_S = 900.0
MOST_PAGES = 2000


@dataclass
class Stand:
    """What a rule works with: the connector of one resource, and the simulator behind it."""

    bench: Bench
    resource: Resource
    clock: Clock
    simulator: Simulator
    connector: Connector
    transport: WatchedTransport
    webhooks: AsgiTransport
    numbers: list[int] = field(default_factory=lambda: [0])

    @property
    def sample(self) -> Sample:
        """The sample records of the resource."""
        return self.bench.samples[self.resource.name]

    @property
    def records(self) -> Records:
        """The connector in its role of a holder of records."""
        return cast("Records", self.connector)

    @property
    def fields(self) -> list[str]:
        """The fields that the connector declares, as the platform calls them."""
        return list(self.resource.fields)

    @property
    def exchanges(self) -> list[Exchange]:
        """What was asked of the platform so far."""
        return self.transport.exchanges

    def faults(self, *described: Mapping[str, Any]) -> None:
        """Make the platform misbehave in these ways and no others."""
        self.simulator.faults.replace(described, seed=1)

    def new_fields(self, **changed: Any) -> dict[str, Any]:
        """Return the fields of a record like no other."""
        self.numbers[0] += 1
        return self.sample.record(self.numbers[0]) | changed

    def edit(self, id: str | None = None, **fields: Any) -> str:
        """Create or change a record as a person would in the platform's pages; return its id."""
        simulator, name = self.simulator, self.resource.name
        if id is None:
            made = simulator.create_record(name, self.new_fields(**fields), source="UI")
        else:
            made = simulator.update_record(name, id, fields, source="UI")
        return made.id

    def remove(self, id: str) -> None:
        """Delete a record as a person would."""
        self.simulator.delete_record(self.resource.name, id, source="UI")

    async def seed(self, count: int, *, apart_s: float = 1.0) -> list[str]:
        """Create records one after the other, and wait until everything that reads sees them."""
        ids = []
        for _ in range(count):
            ids.append(self.edit())
            if apart_s:
                await self.clock.sleep(apart_s)
        await self.settle()
        return ids

    async def settle(self) -> None:
        """Wait until what was done is visible to every call."""
        await self.clock.sleep(SETTLED_S)

    async def read(self, cursor: Cursor | None = None) -> tuple[list[RemoteRecord], Cursor]:
        """Read all pages that there are; return their records and the cursor behind them."""
        found: list[RemoteRecord] = []
        for _ in range(MOST_PAGES):
            page = await self.records.read_page(self.resource, self.fields, cursor)
            found += page.records
            cursor = page.cursor
            if not page.more:
                return found, cursor
        raise AssertionError(f"{MOST_PAGES} pages, and read_page still says that there is more")

    async def write(self, *writes: Write) -> list[WriteResult]:
        """Write, and read the declared fields back."""
        return await self.records.write(self.resource, writes, self.fields)

    def creates(self, count: int, **changed: Any) -> list[Write]:
        """Return creates of records like no others."""
        return [self.create(**changed) for _ in range(count)]

    def create(self, **changed: Any) -> Write:
        """Return the create of a record like no other."""
        fields = self.new_fields(**changed)
        return Write(action="create", key=f"contract-{self.numbers[0]}", fields=fields)

    def live(self) -> Sequence[Any]:
        """Return the simulator's records that exist."""
        return list(self.simulator.table(self.resource.name))

    def another(self) -> Connector:
        """Return a second connector of the same account, as another process has one."""
        return _connector(self.bench, self.simulator, self.transport, self.clock)


@asynccontextmanager
async def set_up(bench: Bench, resource: Resource, way: str) -> AsyncIterator[Stand]:
    """Run a bench until the block ends."""
    async with AsyncExitStack() as stack:
        webhooks = AsgiTransport({})
        stack.push_async_callback(webhooks.close)
        clock: Clock = LoopClock(START) if way == IN_PROCESS else JumpingClock()
        simulator = bench.simulator(
            clock=clock, rng=random.Random(7), transport=webhooks, base_url=_BASE_URL
        )
        stack.push_async_callback(simulator.close)
        _ = simulator.tables
        inner: Transport = AsgiTransport({_BASE_URL: simulator.app})
        if way == OVER_A_SOCKET:
            inner = AiohttpTransport()
            simulator.base_url = await stack.enter_async_context(served(simulator.app))
        stack.push_async_callback(inner.close)
        transport = WatchedTransport(inner, clock)
        connector = _connector(bench, simulator, transport, clock)
        stand = Stand(bench, resource, clock, simulator, connector, transport, webhooks)
        if isinstance(connector, Records):
            await connector.prepare(resource)
            transport.exchanges.clear()
        yield stand


def _connector(bench: Bench, simulator: Simulator, transport: Transport, clock: Clock) -> Connector:
    kind = bench.connector
    api = Api(
        platform=kind.platform,
        title=kind.title,
        base_url=simulator.base_url,
        auth=kind.auth,
        credentials=Credentials({**simulator.credentials, **bench.credentials}),
        transport=transport,
        budget=StoredBudget(
            store=MemoryBudgetStore(),
            account="contract",
            limits=kind.limits,
            concurrency=kind.concurrency,
            settings=bench.settings,
            clock=clock,
            remaining_header=kind.remaining,
            size_header=kind.sizes,
        ),
        clock=clock,
        error_rules=kind.error_rules,
        explain=kind.explain,
        settings=bench.settings,
    )
    return kind(api)
