"""Runs that start others: once each, woken by their end, with what they returned."""

import asyncio
from decimal import Decimal

import pytest
from child_program import Parcel, label, pack, placed, settled, shown, statuses, told

from dovetail import Event, Retry, db, every, on, send, step
from dovetail.errors import (
    ReplayMismatchError,
    TransientError,
    UsageError,
)
from dovetail.runtime.runs import list_runs
from dovetail.runtime.store.schema import child_runs, deliveries
from dovetail.testing.app import running_app


async def test_a_child_is_a_run_of_its_own_and_its_result_goes_to_the_parent():
    seen, passes = [], []

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        passes.append(event.seq)
        parcel = await step.run(pack, order=event.payload["order"])
        text = await step.run("label", {"order": parcel.order})
        seen.append((parcel.order, parcel.weight, text))

    async with running_app(fulfil, pack, label) as app:
        await placed(app)
        assert seen == [("o1", Decimal("1.50"), "label of o1")]
        assert len(passes) == 3
        assert [one for one, _ in (await statuses(app)).values()] == ["fulfil", "pack", "label"]
        assert {one for _, one in (await statuses(app)).values()} == {"done"}
        parent, child = await shown(app, 1), await shown(app, 2)
        assert told(parent) == [
            ("event", "order.placed"),
            ("child started", "pack: run 2"),
            ("child done", "pack: run 2"),
            ("child started", "label: run 3"),
            ("child done", "label: run 3"),
            ("finished", ""),
        ]
        assert told(child)[0][0] == "started"
        assert child.parent.run_id == 1
        assert [one.run_id for one in parent.children] == [2, 3]
        assert child.event.caused_by == parent.event.id


async def test_only_the_child_hears_of_it_and_it_sees_what_the_parent_wrote():
    heard, seen = [], []

    @on("*")
    async def everything(event: Event) -> None:
        heard.append(event.type)

    @on("weigh.wanted")
    async def weigh(event: Event) -> int:
        seen.append([one.order for one in await db.query(Parcel)])
        await db.create(Parcel, order="by the child")
        return 7

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await db.create(Parcel, order="by the parent")
        weight = await step.run(weigh)
        seen.append((weight, sorted(one.order for one in await db.query(Parcel))))

    async with running_app(fulfil, weigh, everything) as app:
        await placed(app)
    assert seen == [["by the parent"], (7, ["by the child", "by the parent"])]
    assert heard == ["order.placed", "parcel.created", "parcel.created"]


async def test_fifty_children_go_side_by_side_and_the_parent_wakes_once():
    passes, most, now_going = [], [], set()

    @on("n.wanted")
    async def square(event: Event) -> int:
        n = event.payload["n"]
        now_going.add(n)
        most.append(len(now_going))
        await asyncio.sleep(1 + n % 7)
        now_going.discard(n)
        return n * n

    results = []

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        passes.append(1)
        results.append(await step.gather(*(step.run(square, n=n, key=n) for n in range(50))))

    async with running_app(fulfil, square) as app:
        await placed(app)
        assert results == [[n * n for n in range(50)]]
        assert len(passes) == 2
        assert max(most) == 50
        assert (await shown(app)).summary.status == "done"


async def test_steps_beside_children_are_done_while_the_children_go():
    done = []

    @on("slow.wanted")
    async def slow(event: Event) -> str:
        await asyncio.sleep(100)
        done.append("child")
        return "slow"

    async def quick(n: int) -> int:
        done.append("step")
        return n

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        got = await step.gather(
            step.later("quick", quick, 1), step.run(slow), step.later("quick", quick, 2)
        )
        done.append(got)

    async with running_app(fulfil, slow) as app:
        await placed(app)
    assert done == ["step", "step", "child", [1, "slow", 2]]


async def test_three_deep_and_a_handler_that_runs_itself():
    @on("sum.wanted")
    async def add_up(event: Event) -> int:
        n = event.payload["n"]
        return n if n == 0 else n + await step.run("add_up", n=n - 1)

    add_up.__qualname__ = "add_up"
    seen = []

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        seen.append(await step.run(add_up, n=3))

    async with running_app(fulfil, add_up) as app:
        await placed(app)
        parents = [(await shown(app, n)).parent.run_id for n in (2, 3, 4, 5)]
    assert seen == [6]
    assert parents == [1, 2, 3, 4]


async def test_a_waiting_parent_holds_no_place_and_says_what_it_waits_for():
    @on("slow.wanted")
    async def slow(event: Event) -> None:
        await step.sleep("1 day")

    @on("order.placed", concurrency=1)
    async def fulfil(event: Event) -> None:
        await step.run(slow, order=event.payload["order"])

    async with running_app(fulfil, slow) as app:
        await placed(app, "a", "b", "c")
        assert app.runtime._dispatcher.running == 0
        found = await app.store.read(lambda tx: list_runs(tx, status="waiting"))
        assert [one.id for one in found] == [3, 2, 1]
        assert all(one.waits_for.startswith("run:test_a_waiting") for one in found)
        assert {one.due_at for one in found} == {None}
        await app.ports.clock.sleep(86_400 + 1)
        await settled(app)
        assert {one for _, one in (await statuses(app)).values()} == {"done"}


async def test_a_child_is_tried_again_by_its_own_rules_and_the_parent_only_waits():
    tries, passes = [], []

    @on("charge.wanted", retry=Retry(attempts=4))
    async def charge(event: Event) -> str:
        tries.append(1)
        if len(tries) < 4:
            raise TransientError("busy")
        return "receipt"

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        passes.append(1)
        assert await step.run(charge) == "receipt"

    async with running_app(fulfil, charge) as app:
        await placed(app)
        assert (len(tries), len(passes)) == (4, 2)
        assert (await shown(app)).summary.attempt == 0


async def test_what_is_no_json_kills_the_child_with_a_clear_error():
    @on("thing.wanted")
    async def handle(event: Event) -> object:
        return object()

    @on("big.wanted")
    async def big(event: Event) -> str:
        return "x" * 2_000_000

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step.gather(step.run(handle), step.run(big))

    async with running_app(fulfil, handle, big) as app:
        async with app.session():
            await send("thing.wanted", {})  # nobody wants its result
        await placed(app)
        assert (await shown(app, 1)).summary.status == "done"
        assert (
            "returned object, which cannot be handed over" in (await shown(app, 3)).error["message"]
        )
        assert (
            "returned 2,000,002 bytes; at most 1,048,576" in (await shown(app, 4)).error["message"]
        )


@every("1 hour")
async def tidy() -> str:
    return "tidy"


async def test_a_handler_of_a_schedule_and_one_of_an_event_that_is_handed_on():
    seen = []

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        seen.append(await step.run(tidy))
        seen.append(await step.run(label, event))

    async with running_app(fulfil, tidy, label, schedules=False) as app:
        await placed(app, "o7")
        assert (await shown(app, 3)).event.key == "o7"
    assert seen == ["tidy", "tidy", "label of o7"]


@on("several.came", batch=10)
async def several(events: list[Event]) -> None: ...


@on("quiet.came", debounce="5 seconds")
async def quiet(event: Event) -> None: ...


def no_handler() -> None: ...


@pytest.mark.parametrize(
    ("handler", "given", "why"),
    [
        ("labell", {}, "No handler of this program is called 'labell'. Did you mean 'label'?"),
        ("x", {}, "`dovetail check` lists the handlers"),
        (no_handler, {}, "no_handler is no handler of this program"),
        (several, {}, "several cannot be a child run: it is called with a list"),
        ("quiet", {}, "quiet cannot be a child run: several events may be served"),
        (label, 7, "was given a int"),
        (label, {"business_id": "other"}, "data of the tenant 'other'"),
    ],
)
async def test_what_cannot_be_a_child_is_refused_at_once(handler, given, why):
    errors = []

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        try:
            await step.run(handler, given)
        except UsageError as error:
            errors.append(str(error))

    async with running_app(fulfil, label, several, quiet) as app:
        await placed(app)
        assert await app.store.read(lambda tx: tx.rows(child_runs.select())) == []
    assert why in errors[0]


async def test_who_cannot_have_children_is_told_so():
    errors = []

    @on("order.placed", debounce="1 second")
    async def fulfil(event: Event) -> None:
        try:
            await step.run(label, order="o")
        except UsageError as error:
            errors.append(str(error))

    @on("other.came")
    async def aside(event: Event) -> None:
        try:
            await asyncio.gather(step.run(label, order="o"), step.run(label, order="p"))
        except UsageError as error:
            errors.append(str(error))

    async with running_app(fulfil, aside, label) as app:
        async with app.session():
            await send("other.came", {})
            with pytest.raises(UsageError, match="needs the run of a handler"):
                step.run(label)
        await placed(app)
        await app.ports.clock.sleep(2)
        await settled(app)
    assert any("debounced" in one for one in errors)
    assert any("step.gather" in one for one in errors)


async def test_other_arguments_stop_the_run_and_name_the_argument():
    order = ["o1"]

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        await step.run(label, order=order[0])
        await step.sleep("1 hour")

    async with running_app(fulfil, label) as app:
        await placed(app)
        order[0] = "o2"
        await app.ports.clock.sleep(3601)
        await settled(app)
        error = (await shown(app)).error
        assert error["code"] == ReplayMismatchError.code
        assert "order has another value" in error["message"]


async def test_the_result_outlives_the_history_of_the_child():
    seen = []

    @on("order.placed")
    async def fulfil(event: Event) -> None:
        seen.append(await step.run(label, order="o1"))
        await step.sleep("1 day")
        seen.append("later")

    async with running_app(fulfil, label) as app:
        await placed(app)
        gone = deliveries.delete().where(deliveries.c.id == 2)
        await app.store.write(lambda tx: tx.run(gone))
        await app.ports.clock.sleep(86_401)
        await settled(app)
        assert (await shown(app)).summary.status == "done"
    assert seen == ["label of o1", "label of o1", "later"]


async def test_a_call_that_is_not_awaited_warns_as_a_coroutine_does():
    @on("order.placed")
    async def fulfil(event: Event) -> None:
        with pytest.warns(RuntimeWarning, match=r"step.run\(label\) was never awaited"):
            step.run(label, order="o1")

    async with running_app(fulfil, label) as app:
        await placed(app)
        assert (await shown(app)).summary.status == "done"
