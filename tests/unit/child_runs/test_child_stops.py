"""Child runs that are cancelled, skipped or too late, and those of a parent that is."""

import asyncio
from contextlib import suppress

import pytest
from child_program import charging, label, placed, settled, shown, statuses, told

from dovetail import Event, on, send, step
from dovetail.errors import (
    ChildFailedError,
    PermanentError,
    WaitTimeoutError,
)
from dovetail.runtime.cancellation import request_cancel
from dovetail.runtime.child_run import open_children
from dovetail.runtime.flow import Singleton
from dovetail.runtime.store.schema import child_runs, deliveries
from dovetail.testing.app import running_app


async def test_cancelling_the_parent_cancels_its_children_first_and_undoes_in_reverse():
    undone = []

    def work(name):
        async def done() -> str:
            return name

        return done

    async def take_back(name: str) -> None:
        undone.append(name)

    @on("leaf.wanted")
    async def leaf(event: Event) -> None:
        await step("leaf", work("leaf"), undo=take_back)
        await step.sleep("10 days")

    @on("branch.wanted")
    async def branch(event: Event) -> None:
        await step("branch", work("branch"), undo=take_back)
        await step.run(leaf)

    @on("order.placed")
    async def trunk(event: Event) -> None:
        await step("trunk", work("trunk"), undo=take_back)
        await step.gather(step.run(branch, key=1), step.run(leaf, key=2))

    async with running_app(trunk, branch, leaf) as app:
        await placed(app)
        assert await app.runtime.cancel(1, "changed their mind") == "cancelling"
        await settled(app)
        found = await statuses(app)
        assert {one for _, one in found.values()} == {"cancelled"}
        assert len(found) == 4
        assert (await shown(app, 2)).reason == "Run 1, which had started it, was cancelled."
        assert await app.store.read(lambda tx: open_children(tx, 1)) == []
    assert sorted(undone) == ["branch", "leaf", "leaf", "trunk"]
    assert undone[-1] == "trunk"
    assert undone.index("branch") > 0


async def test_a_parent_that_is_cancelled_while_its_child_runs_stops_it_at_its_next_step():
    reached = []

    async def note(what: str) -> None:
        reached.append(what)

    @on("slow.wanted")
    async def slow(event: Event) -> None:
        await step("first", note, "first")
        await asyncio.sleep(60)
        await step("second", note, "second")

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step.run(slow)
        await step("after", note, "after")

    async with running_app(fulfil, slow) as app:
        async with app.session():
            await send("order.placed", {})
        await app.ports.clock.sleep(5)
        assert await app.runtime.cancel(1) == "cancelling"
        assert (await shown(app)).summary.status == "cancelling"
        await settled(app)
        assert {one for _, one in (await statuses(app)).values()} == {"cancelled"}
    assert reached == ["first"]


async def test_a_child_that_a_person_cancels_raises_in_the_parent_and_a_replay_starts_another():
    seen = []

    @on("slow.wanted")
    async def slow(event: Event) -> str:
        await step.sleep("1 hour")
        return "slept"

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        seen.append(await step.run(slow))

    async with running_app(fulfil, slow) as app:
        await placed(app)
        await app.runtime.cancel(2)
        await settled(app)
        assert await statuses(app) == {1: ("fulfil", "dead"), 2: ("slow", "cancelled")}
        error = (await shown(app)).error
        assert (error["code"], error["facts"]["status"]) == ("child-failed", "cancelled")
        assert await app.runtime.replay_dead([1]) == [1]
        await settled(app)
        await app.ports.clock.sleep(3600)
        await settled(app)
        assert (await shown(app, 3)).summary.status == "done"
    assert seen == ["slept"]


async def test_a_child_that_is_skipped_raises_in_the_parent():
    seen = []

    @on("sync.wanted", singleton=Singleton("skip"))
    async def sync(event: Event) -> str:
        await asyncio.sleep(60)
        return "synced"

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        try:
            seen.append(await step.run(sync))
        except ChildFailedError as error:
            seen.append(error.facts["status"])

    async with running_app(fulfil, sync) as app:
        await placed(app, "a", "b")
    assert sorted(seen) == ["skipped", "synced"]


async def test_a_child_that_takes_too_long_is_stopped():
    seen, undone = [], []

    async def reserve() -> str:
        return "r1"

    async def release(reservation: str) -> None:
        undone.append(reservation)

    async def note(run: int) -> None:
        seen.append(run)

    @on("slow.wanted")
    async def slow(event: Event) -> None:
        await step("reserve", reserve, undo=release)
        await step.sleep("10 days")

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        try:
            await step.run(slow, timeout="3 hours")
        except WaitTimeoutError as error:
            await step("note", note, error.facts["run"])
            await step.sleep("1 day")

    async with running_app(fulfil, slow) as app:
        await placed(app)
        await app.ports.clock.sleep(3 * 3600 - 5)
        assert not seen
        await app.ports.clock.sleep(10)
        await settled(app)
        assert seen == [2]
        assert (await shown(app, 2)).summary.status == "cancelled"
        assert undone == ["r1"]
        assert (await shown(app)).summary.status == "sleeping"
        await app.ports.clock.sleep(86_400)
        await settled(app)
        assert (await shown(app)).summary.status == "done"
        assert "child timed out" in [what for what, _ in told(await shown(app))]


async def test_a_child_given_up_on_is_stopped_at_once_by_a_parent_that_ends_then():
    undone = []

    async def reserve() -> str:
        return "r1"

    async def release(reservation: str) -> None:
        undone.append(reservation)

    @on("slow.wanted")
    async def slow(event: Event) -> None:
        await step("reserve", reserve, undo=release)
        await step.sleep("30 days")

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        with suppress(WaitTimeoutError):
            await step.run(slow, timeout="30 minutes")

    async with running_app(fulfil, slow) as app:
        await placed(app)
        await app.ports.clock.sleep(30 * 60 + 5)
        await settled(app)
        assert await statuses(app) == {1: ("fulfil", "done"), 2: ("slow", "cancelled")}
    assert undone == ["r1"]


async def test_a_plain_replay_of_an_undone_run_stops_what_it_had_started():
    reached, state = [], {"broken": False}

    async def note(what: str) -> None:
        reached.append(what)

    async def unnote(_: None) -> None:
        reached.append("undone")

    @on("slow.wanted")
    async def slow(event: Event) -> None:
        await step("first", note, "first")
        await asyncio.sleep(60)
        await step("second", note, "second")

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step("book", note, "booked", undo=unnote)
        if state["broken"]:  # as after a deploy
            raise PermanentError("no such order")
        if "undone" not in reached:
            await step.gather(step.run(slow, key=1), step.run(slow, key=2, timeout="10 s"))

    async with running_app(fulfil, slow) as app:
        async with app.session():
            await send("order.placed", {})
        await app.ports.clock.sleep(5)
        state["broken"] = True
        await app.ports.clock.sleep(10)
        assert (await statuses(app))[1] == ("fulfil", "dead")
        state["broken"] = False
        assert await app.runtime.replay_dead([1]) == [1]
        await settled(app)
        assert {one for _, one in (await statuses(app)).values()} == {"done", "cancelled"}
        assert (await statuses(app))[1] == ("fulfil", "done")
    assert reached == ["booked", "first", "first", "undone", "booked"]


async def test_from_the_start_everything_begins_anew_and_what_was_open_is_stopped():
    going = {"dies": True}

    @on("slow.wanted")
    async def slow(event: Event) -> str:
        await step.sleep("1 day")
        return "slept"

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        if event.payload.get("again") or not going["dies"]:
            await step.run(slow)

    async with running_app(fulfil, slow) as app:
        going["dies"] = False
        await placed(app)
        # As after a deploy that took the call away, or too many deaths of the process.
        kill = deliveries.update().where(deliveries.c.id == 1).values(status=3, finished_at=1)
        await app.store.write(lambda tx: tx.run(kill))
        await app.runtime.replay_dead([1], from_start=True)
        await settled(app)
        assert (await shown(app, 2)).summary.status == "cancelled"
        await app.ports.clock.sleep(86_401)
        await settled(app)
        assert (await shown(app, 1)).summary.status == "done"
        assert (await shown(app, 3)).summary.status == "done"


@pytest.mark.parametrize("which", [[1], [1, 2, 3], [3, 2, 1]])
async def test_a_dead_child_of_a_run_that_begins_anew_is_not_replayed_beside_it(which):
    state, seen, undone = {"broken": True}, [], []
    charge = charging(state)

    async def book() -> str:
        return "seat"

    async def unbook(seat: str) -> None:
        undone.append(seat)

    @on("middle.wanted")
    async def middle(event: Event) -> str:
        return await step.run(charge)

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step("book", book, undo=unbook)
        seen.append(await step.run(middle))

    async with running_app(fulfil, middle, charge) as app:
        await placed(app)
        assert {one for _, one in (await statuses(app)).values()} == {"dead"}
        assert undone == ["seat"]
        state["broken"] = False
        assert await app.runtime.replay_dead(which) == [1]
        await settled(app)
        assert await statuses(app) == {
            1: ("fulfil", "done"),
            2: ("middle", "discarded"),
            3: ("charge", "discarded"),
            4: ("middle", "done"),
            5: ("charge", "done"),
        }
    assert seen == ["receipt"]
    assert len(state["tries"]) == 2


async def test_a_child_is_never_started_by_a_run_that_another_process_has_stopped_meanwhile():
    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step("note", asyncio.sleep, 0)
        await app.store.write(lambda tx: request_cancel(tx, 1, "from elsewhere", 1))
        await step.run(label, order="o1")

    async with running_app(fulfil, label) as app:
        await placed(app)
        assert await statuses(app) == {1: ("fulfil", "cancelled")}
        assert "child cancelled" in [what for what, _ in told(await shown(app))]


async def test_retention_forgets_a_child_with_its_run():
    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step.run(label, order="o1")

    async with running_app(fulfil, label) as app:
        await placed(app)
        assert len(await app.store.read(lambda tx: tx.rows(child_runs.select()))) == 1
        await app.ports.clock.sleep((app.settings.keep_days + 2) * 86_400)
        assert await statuses(app) == {}
        assert await app.store.read(lambda tx: tx.rows(child_runs.select())) == []
