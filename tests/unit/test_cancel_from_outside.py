"""A run is stopped from outside, within two seconds by another process, whatever it is doing."""

import asyncio

from dovetail import App, Event, on, send, step
from dovetail.core.settings import Settings
from dovetail.runtime.cancellation import asked_to_stop
from dovetail.runtime.runs import show_run
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import IN_MEMORY, make_module, running_app, seeded_ports


async def sent(app, *events):
    async with app.session():
        return [await send(name, fields, key=key) for name, fields, key in events]


async def run_of(app, delivery_id=1):
    return await app.store.read(lambda tx: show_run(tx, delivery_id))


async def test_another_process_stops_a_run_that_is_running(agency, tmp_path):
    @on("trip.wanted")
    async def travel(event: Event) -> None:
        await step("book", agency.book, "flight", undo=agency.cancel)
        await step("slow", asyncio.sleep, 30)
        await step("book", agency.book, "hotel")

    async with running_app(travel, database=tmp_path / "a.db") as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.ports.clock.sleep(5)
        async with App(settings=app.settings, ports=app.ports) as other:
            assert await other.runtime.cancel(1) == "cancelling"
        await app.runtime.wait_idle()
        assert (await run_of(app)).summary.status == "cancelled"
    assert agency.told == ["book flight", "cancel flight"]


async def test_another_process_stops_a_run_that_sleeps_within_two_seconds(agency, tmp_path):
    @on("trip.wanted")
    async def travel(event: Event) -> None:
        await step("book", agency.book, "flight", undo=agency.cancel)
        await step.sleep("9 days")

    async with running_app(travel, database=tmp_path / "a.db") as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.ports.clock.sleep(5)
        async with App(settings=app.settings, ports=app.ports) as other:
            assert await other.runtime.cancel(1) == "cancelling"
        await app.ports.clock.sleep(2)
        assert agency.told == ["book flight", "cancel flight"]
        assert (await run_of(app)).summary.status == "cancelled"


class TardyStore(SqliteStore):
    """Takes its time to say which runs were asked to stop."""

    async def read(self, query):
        found = await super().read(query)
        if query is asked_to_stop:
            await asyncio.sleep(2)
        return found


async def test_a_run_that_begins_while_stops_are_looked_for_is_stopped():
    begun = []

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        begun.append(event.key + event.payload["turn"])
        await asyncio.sleep(60)

    settings = Settings(database=IN_MEMORY)
    app = App(make_module(travel), settings=settings, ports=seeded_ports())
    app.store = TardyStore(settings.database, app.ports)
    await app.start(serve=False)
    try:
        turns = [("a", "1"), ("a", "2"), ("b", "1")]
        await sent(app, *[("trip.wanted", {"turn": turn}, key) for key, turn in turns])
        assert await app.runtime.cancel(2) == "cancelling"
        await app.ports.clock.sleep(57)
        assert begun == ["a1", "b1"]
        await app.runtime.cancel(3)  # while that is looked for, the turn of run 2 comes
        await app.runtime.wait_idle()
        assert (await run_of(app, 2)).summary.status == "cancelled"
    finally:
        await app.stop()
    assert begun == ["a1", "b1"]
