"""A store with an event log, and units of work on them."""

import itertools
import random
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dovetail.core.clock import LoopClock
from dovetail.core.ids import SeededIds
from dovetail.core.ports import InlineExecutor, Ports
from dovetail.model.event import Event
from dovetail.runtime.bus.port import Bus
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.handler import HandlerSpec, Subscriptions
from dovetail.runtime.log import EventLog, event_of
from dovetail.runtime.store.schema import events, metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.runtime.unit import UnitOfWork
from dovetail.testing.asgi import AsgiTransport


class FakeBus(Bus):
    """Keeps what it was offered."""

    def __init__(self) -> None:
        self.offered: list[Delivery] = []

    def offer(self, first: int, last: int, ready: Sequence[Delivery]) -> None:
        del first, last
        self.offered.extend(ready)


async def _handle(event: Event) -> None:
    del event


class World:
    """A store with a log, and units of work on them."""

    def __init__(self, path: str) -> None:
        self.clock = LoopClock()
        ids = SeededIds(self.clock, random.Random(1))
        self.ports = Ports(
            clock=self.clock,
            ids=ids,
            rng=random.Random(1),
            transport=AsgiTransport(),
            new_executor=lambda name: InlineExecutor(),
        )
        self.store = SqliteStore(path, self.ports)
        self.bus = FakeBus()
        everything = HandlerSpec(name="all", patterns=("*",), call=_handle)
        self.log = EventLog(Subscriptions([everything]), self.clock, ids, self.bus)
        self._numbers = itertools.count(1)

    def unit(self, business_id: str = "acme") -> UnitOfWork:
        return UnitOfWork(
            store=self.store,
            log=self.log,
            business_id=business_id,
            source="handler:test",
            caused_by="cause",
            clock=self.clock,
            new_id=lambda: f"id-{next(self._numbers)}",
        )

    async def commit(self, unit: UnitOfWork) -> None:
        await self.store.write(unit.apply)

    async def create(self, *made: Any) -> list[Any]:
        unit = self.unit()
        created = [await unit.create(one) for one in made]
        await self.commit(unit)
        return created

    async def events(self) -> list[Event]:
        rows = await self.store.read(lambda tx: tx.rows(sa.select(events).order_by(events.c.seq)))
        return [event_of(row) for row in rows]


@asynccontextmanager
async def opened(path: str):
    world = World(path)
    await world.store.open()
    try:
        await world.store.migrate(metadata.create_all)
        yield world
    finally:
        await world.store.close()


@pytest.fixture(params=["memory", "file"])
def world_of(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return what opens a world: in memory, and on a file."""
    path = ":memory:" if request.param == "memory" else str(tmp_path / "unit.db")
    return lambda: opened(path)


@pytest.fixture
def world_in_memory() -> Any:
    """Return what opens a world in memory, as often as it is called."""
    return lambda: opened(":memory:")
