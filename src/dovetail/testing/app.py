"""
Run an app inside a test: in memory, on virtual time, seeded, without sockets or threads.

::

    async def test_a_welcome_is_sent():
        async with running_app(welcome) as app:
            async with app.session():
                await db.create(Contact, first_name="Ada", email="ada@example.com")
            await app.runtime.wait_idle()

The test runs on the loop of `dovetail.testing.loop` (the pytest plugin sees to that), so a handler
that waits a day is done at once.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from dovetail.app.app import App
from dovetail.app.load import program_of
from dovetail.core.clock import LoopClock
from dovetail.core.ids import SeededIds
from dovetail.core.ports import InlineExecutor, Ports
from dovetail.core.settings import Settings
from dovetail.core.transport import Transport
from dovetail.service.declaration import Service
from dovetail.testing.asgi import AsgiTransport

IN_MEMORY = Path(":memory:")
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def seeded_ports(
    seed: int = 0, transport: Transport | None = None, start: datetime = START
) -> Ports:
    """Return ports whose time is the loop's and whose ids and randomness follow a seed."""
    clock = LoopClock(start)
    rng = random.Random(seed)
    return Ports(
        clock=clock,
        ids=SeededIds(clock, random.Random(rng.random())),
        rng=rng,
        transport=transport or AsgiTransport({}),
        new_executor=lambda _: InlineExecutor(),
    )


def make_module(*members: Callable[..., Any] | Service) -> ModuleType:
    """Return a module that declares these handlers and services, as a user's file would."""
    module = ModuleType("program")
    for number, member in enumerate(members):
        name = getattr(member, "__name__", f"member_{number}")
        setattr(module, f"{name}_{number}" if hasattr(module, name) else name, member)
    return module


@asynccontextmanager
async def running_app(
    *members: Callable[..., Any] | Service,
    seed: int = 0,
    transport: Transport | None = None,
    database: Path = IN_MEMORY,
    schedules: bool = True,
    start: datetime = START,
    busy_s: float = 10.0,
) -> AsyncIterator[App]:
    """
    Run handlers and services until the block ends.

    Args:
        members: ``@on`` and ``@every`` functions, and services.
        seed: Of ids, jitter and whatever else is random.
        transport: Where platform calls go: an `AsgiTransport` with simulators.
        database: A file, to look at what survives a restart; in memory when not given.
        schedules: Whether time makes things happen by itself.
        start: What the clock shows at first.
        busy_s: How long to wait for another process that holds the database, in real seconds.
    """
    program = program_of(make_module(*members)) if members else None
    app = App(
        program,
        settings=Settings(database=database, shutdown_s=5, busy_s=busy_s),
        ports=seeded_ports(seed, transport, start),
    )
    await app.start(serve=False, schedules=schedules)
    try:
        yield app
    finally:
        await app.stop()
