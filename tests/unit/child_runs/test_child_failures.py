"""Child runs that die, and what their parents see of it and of a replay."""

import asyncio
from decimal import Decimal

import pytest
from child_program import Parcel, charging, pack, placed, settled, shown, statuses, told

from dovetail import Event, Retry, on, step
from dovetail.errors import (
    ChildFailedError,
    PermanentError,
    TransientError,
)
from dovetail.runtime.child_run import open_children
from dovetail.runtime.dead_letter import list_dead
from dovetail.testing.app import running_app


async def test_a_dead_child_raises_an_error_that_names_it_and_what_to_do():
    state, caught = {"broken": True}, []
    charge = charging(state)

    @on("order.placed")
    async def fulfil(event: Event) -> str:
        try:
            return await step.run(charge, order="o1")
        except ChildFailedError as error:
            caught.append(error)
            return "on account"

    async with running_app(fulfil, charge) as app:
        await placed(app)
        assert (await shown(app)).summary.status == "done"
        assert (await shown(app, 2)).summary.status == "dead"
        assert [one.id for one in await app.store.read(list_dead)] == [2]
        assert told(await shown(app))[2][0] == "child dead"
    (error,) = caught
    assert (error.facts["run"], error.facts["status"]) == (2, "dead")
    assert error.facts["error"]["message"] == "the card is blocked"
    assert "the card is blocked" in str(error)
    assert "dovetail dead replay 1" in str(error)


async def test_a_replay_of_the_parent_replays_the_child_that_it_died_of():
    state, seen = {"broken": True}, []
    charge = charging(state)

    @on("middle.wanted")
    async def middle(event: Event) -> str:
        return await step.run(charge)

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        seen.append(await step.run(middle))

    async with running_app(fulfil, middle, charge) as app:
        await placed(app)
        assert {one for _, one in (await statuses(app)).values()} == {"dead"}
        error = (await shown(app)).error
        assert error["code"] == "child-failed"
        assert "Run 2 of" in error["message"]
        assert "died: the card is blocked Put" in error["message"]
        await app.runtime.replay_dead([1])  # still broken: it dies again
        await settled(app)
        assert {one for _, one in (await statuses(app)).values()} == {"dead"}
        assert len(state["tries"]) == 2
        state["broken"] = False
        assert sorted(await app.runtime.replay_dead([1])) == [1, 2, 3]
        await settled(app)
        assert {one for _, one in (await statuses(app)).values()} == {"done"}
        assert len(await statuses(app)) == 3
    assert seen == ["receipt"]
    assert len(state["tries"]) == 3


@pytest.mark.parametrize("ids", [[2, 1], [1, 2]])
async def test_parent_and_child_may_be_replayed_together(ids):
    state, seen = {"broken": True}, []
    charge = charging(state)

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        seen.append(await step.run(charge))

    async with running_app(fulfil, charge) as app:
        await placed(app)
        state["broken"] = False
        assert sorted(await app.runtime.replay_dead(ids)) == [1, 2]
        await settled(app)
    assert seen == ["receipt"]
    assert len(state["tries"]) == 2


async def test_a_child_that_was_replayed_by_itself_has_its_result_for_a_replayed_parent():
    state, seen = {"broken": True}, []
    charge = charging(state)

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        seen.append(await step.run(charge))

    async with running_app(fulfil, charge) as app:
        await placed(app)
        state["broken"] = False
        await app.runtime.replay_dead([2])
        await settled(app)
        assert (await shown(app, 2)).summary.status == "done"
        assert (await shown(app, 1)).summary.status == "dead"  # that is for a person to say
        assert await app.runtime.replay_dead([1]) == [1]
        await settled(app)
    assert seen == ["receipt"]
    assert len(state["tries"]) == 2


async def test_a_parent_that_went_on_without_the_child_keeps_what_it_saw():
    state, seen = {"broken": True}, []
    charge = charging(state)

    @on("order.placed", retry=Retry(attempts=1))
    async def fulfil(event: Event) -> None:
        try:
            await step.run(charge)
        except ChildFailedError:
            await step.sleep("1 day")
            if state.get("fails", True):
                raise TransientError("another reason") from None
            seen.append("on account")

    async with running_app(fulfil, charge) as app:
        await placed(app)
        state["broken"] = False
        await app.runtime.replay_dead([2])
        await app.ports.clock.sleep(86_400 + 1)
        await settled(app)
        assert await statuses(app) == {1: ("fulfil", "dead"), 2: ("charge", "done")}
        state["fails"] = False
        await app.runtime.replay_dead([1])
        await settled(app)
        assert (await shown(app)).summary.status == "done"
    assert seen == ["on account"]
    assert len(state["tries"]) == 2


async def test_all_come_to_their_ends_before_a_failure_is_raised_and_a_replay_heals_them_all():
    state, ended = {"broken": True}, []
    charge = charging(state)

    @on("slow.wanted")
    async def slow(event: Event) -> str:
        await asyncio.sleep(60)
        ended.append("slow")
        return "slow"

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        ended.append(
            await step.gather(step.run(charge, key=1), step.run(slow), step.run(charge, key=2))
        )

    async with running_app(fulfil, charge, slow) as app:
        await placed(app)
        assert ended == ["slow"]
        assert (await shown(app)).error["facts"]["runs"] == [2, 4]
        state["broken"] = False
        assert sorted(await app.runtime.replay_dead([1])) == [1, 2, 4]
        await settled(app)
    assert ended == ["slow", ["receipt", "slow", "receipt"]]


async def test_a_step_that_fails_beside_a_child_is_raised_after_the_child_has_ended():
    ended = []

    @on("slow.wanted")
    async def slow(event: Event) -> str:
        await asyncio.sleep(60)
        ended.append("slow")
        return "slow"

    async def refuse() -> None:
        raise PermanentError("no")

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step.gather(step.later("refuse", refuse), step.run(slow))

    async with running_app(fulfil, slow) as app:
        await placed(app)
        assert (await shown(app)).error["message"] == "no"
        assert await app.store.read(lambda tx: open_children(tx, 1)) == []
    assert ended == ["slow"]


async def test_an_undo_function_gets_what_the_child_returned():
    undone = []

    async def book() -> str:
        return "seat"

    async def unbook(seat: str) -> None:
        undone.append(seat)

    async def unpack(parcel: Parcel) -> None:
        undone.append((parcel.order, parcel.weight))

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step("pack", book, undo=unbook)
        await step.run(pack, order="o1", undo=unpack)
        raise PermanentError("no")

    async with running_app(fulfil, pack) as app:
        await placed(app)
        view = await shown(app)
        assert view.summary.status == "dead"
        assert view.error["undone"] == ["run:pack", "pack"]
        assert all(one.undone_at for one in view.journal if one.kind in ("step", "child"))
        await app.runtime.replay_dead([1])  # undone whole: from its start, with a new child
        await settled(app)
        assert [name for name, _ in (await statuses(app)).values()] == ["fulfil", "pack", "pack"]
    assert undone == [("o1", Decimal("1.50")), "seat"] * 2


async def test_a_handler_may_compensate_for_a_dead_child_and_go_on():
    state, undone = {"broken": True}, []
    charge = charging(state)

    async def unpack(parcel: Parcel) -> None:
        undone.append(parcel.order)

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step.run(pack, order="o1", undo=unpack)
        try:
            await step.run(charge)
        except ChildFailedError:
            await step.compensate()
            await step.sleep("1 day")

    async with running_app(fulfil, pack, charge) as app:
        await placed(app)
        await app.ports.clock.sleep(86_401)
        await settled(app)
        assert (await shown(app)).summary.status == "done"
    assert undone == ["o1"]


async def test_an_undo_function_cannot_start_runs():
    async def book() -> str:
        return "seat"

    async def unbook(seat: str) -> None:
        await step.run(pack, order=seat)

    @on("order.placed", retry=Retry(attempts=1))
    async def fulfil(event: Event) -> None:
        await step("book", book, undo=unbook)
        raise PermanentError("no")

    async with running_app(fulfil, pack) as app:
        await placed(app)
        error = (await shown(app)).error
    assert error["code"] == "compensation"
    assert "step.run() cannot be used in an undo function" in error["message"]
