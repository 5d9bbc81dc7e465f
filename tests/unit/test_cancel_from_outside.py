"""Another process, such as `dovetail runs cancel`, stops a run within two seconds."""

import asyncio

from dovetail import App, Event, on, send, step
from dovetail.runtime.runs import show_run
from dovetail.testing.app import running_app


async def sent(app, *events):
    async with app.session():
        return [await send(name, fields, key=key) for name, fields, key in events]


async def run_of(app, delivery_id=1):
    return await app.store.read(lambda tx: show_run(tx, delivery_id))


class Agency:
    """Books and cancels, keeping a list of what it did."""

    def __init__(self):
        self.told = []

    async def book(self, what: str) -> dict[str, str]:
        self.told.append(f"book {what}")
        return {"booked": what}

    async def cancel(self, booking: dict[str, str]) -> None:
        self.told.append(f"cancel {booking['booked']}")


async def test_another_process_stops_a_run_that_is_running(tmp_path):
    agency = Agency()

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


async def test_another_process_stops_a_run_that_sleeps_within_two_seconds(tmp_path):
    agency = Agency()

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
