"""A clock that is set forward or back delays nothing for longer than it was to wait anyway."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dovetail import App, Event, every, on, send
from dovetail.app.load import program_of
from dovetail.connector_sdk.limits import MemoryBudgetStore, StoredBudget
from dovetail.connector_sdk.spec import RateLimit
from dovetail.core.clock import LoopClock
from dovetail.core.cron import Interval
from dovetail.core.settings import Settings
from dovetail.errors import TransientError
from dovetail.runtime.schedule import Schedule
from dovetail.testing.app import make_module, seeded_ports

DAY = timedelta(days=1)


class JumpingClock(LoopClock):
    """Follows the loop, plus whatever it was set wrong by."""

    def __init__(self):
        super().__init__(datetime(2026, 3, 1, 9, 0, tzinfo=UTC))
        self.wrong_by = timedelta()

    def now(self):
        return super().now() + self.wrong_by


@pytest.fixture
def clock():
    return JumpingClock()


@pytest.fixture
def running(clock):
    """Run handlers under the jumping clock."""

    async def start(*handlers, database=Path(":memory:")):
        app = App(
            program_of(make_module(*handlers)),
            settings=Settings(database=database),
            ports=replace(seeded_ports(), clock=clock),
        )
        await app.start(serve=False)
        return app

    return start


async def sent(app, name):
    async with app.session():
        await send(name, {}, key="one")


@pytest.mark.parametrize("jump", [DAY, -DAY, 400 * DAY, -400 * DAY])
async def test_a_retry_comes_after_its_wait_whatever_the_clock_shows(running, clock, jump):
    tries = []

    @on("thing.happened")
    async def handle(event: Event) -> None:
        tries.append(clock.monotonic())
        if len(tries) < 3:
            clock.wrong_by += jump
            raise TransientError("not yet")

    app = await running(handle)
    await sent(app, "thing.happened")
    async with asyncio.timeout(60):
        await app.runtime.wait_idle()
    await app.stop()

    assert len(tries) == 3


async def test_what_waited_while_the_clock_was_set_back_runs_at_the_next_start(
    running, clock, tmp_path
):
    seen = []

    @on("thing.happened")
    async def handle(event: Event) -> None:
        seen.append(event.type)

    app = await running(handle, database=tmp_path / "app.db")
    await app.runtime.stop(0)
    await sent(app, "thing.happened")
    await app.stop()
    clock.wrong_by -= DAY
    app = await running(handle, database=tmp_path / "app.db")
    async with asyncio.timeout(60):
        await app.runtime.wait_idle()
    await app.stop()

    assert seen == ["thing.happened"]


@pytest.mark.parametrize("jump", [DAY, -DAY])
async def test_a_schedule_goes_on_after_a_clock_was_wrong_for_a_while(running, clock, jump):
    seen = []

    @every("10 seconds")
    async def tick() -> None:
        seen.append(clock.now())

    app = await running(tick)
    await asyncio.sleep(95)
    clock.wrong_by = jump
    await asyncio.sleep(200)
    clock.wrong_by = timedelta()
    before = len(seen)
    await asyncio.sleep(200)
    await app.stop()

    assert len(seen) - before >= 12


@pytest.mark.parametrize(("repeats", "least", "most"), [(True, 40, 60), (False, 0, 1)])
async def test_hours_that_come_again_are_ticked_again_only_where_that_is_wanted(
    running, clock, repeats, least, most
):
    seen = []

    @on("look.again")
    async def look(event: Event) -> None:
        seen.append(event.id)

    app = await running(look)
    timetable = Interval(timedelta(seconds=10))
    app.runtime.schedule([Schedule("look", "look.again", timetable, repeats=repeats)])
    await asyncio.sleep(3600)
    clock.wrong_by = timedelta(hours=-1)
    before = len(seen)
    await asyncio.sleep(500)
    await app.stop()

    assert least <= len(seen) - before <= most


async def test_a_small_step_back_sends_no_tick_twice(running, clock):
    seen = []

    @on("look.again")
    async def look(event: Event) -> None:
        seen.append(event.payload["due_at"])

    app = await running(look)
    timetable = Interval(timedelta(seconds=10))
    app.runtime.schedule([Schedule("look", "look.again", timetable, repeats=True)])
    for _ in range(20):
        await asyncio.sleep(9.7)
        clock.wrong_by -= timedelta(seconds=1)
    await app.stop()

    assert len(seen) == len(set(seen)) > 10


async def test_a_pause_of_an_account_is_as_long_as_it_was(clock):
    budget = StoredBudget(
        store=MemoryBudgetStore(),
        account="one",
        limits=[RateLimit("all", 100, per_s=10)],
        clock=clock,
    )
    await budget.acquire("/")
    await budget.pause(30)
    clock.wrong_by -= DAY
    began = clock.monotonic()
    await budget.acquire("/")

    assert 29 <= clock.monotonic() - began <= 61


async def test_a_longer_pause_stays_and_a_shorter_one_changes_nothing(clock):
    budget = StoredBudget(
        store=MemoryBudgetStore(),
        account="one",
        limits=[RateLimit("all", 100, per_s=10)],
        clock=clock,
    )
    await budget.pause(30)
    await budget.pause(10)
    began = clock.monotonic()
    await budget.acquire("/")

    assert 30 <= clock.monotonic() - began <= 31
