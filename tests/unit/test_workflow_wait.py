"""Runs that wait for events: woken once, by what fits, never by what came before unless asked."""

from decimal import Decimal

import pytest

from dovetail import App, Event, db, on, send, step
from dovetail.core import json
from dovetail.entities import Payment
from dovetail.errors import TransientError, UsageError, WaitTimeoutError
from dovetail.runtime.condition import fits, plain_conditions
from dovetail.runtime.runs import list_runs, show_run
from dovetail.runtime.store.schema import waits
from dovetail.testing.app import running_app


async def sent(app, *events, business_id="default", **more):
    async with app.session(business_id):
        return [await send(name, fields, key=key, **more) for name, fields, key in events]


async def run_of(app, delivery_id=1):
    return await app.store.read(lambda tx: show_run(tx, delivery_id))


def order_handler(seen, **wait):
    @on("order.placed")
    async def follow(event: Event) -> None:
        order = event.payload["order"]
        try:
            paid = await step.wait_for(Payment.succeeded, where={"order_id": order}, **wait)
            seen.append((order, paid.amount))
        except WaitTimeoutError:
            seen.append((order, "late"))

    return follow


async def test_an_event_wakes_the_runs_that_wait_for_it_and_no_other():
    seen = []
    async with running_app(order_handler(seen)) as app:
        await sent(app, *(("order.placed", {"order": n}, f"{n}{c}") for n in "ab" for c in "xy"))
        await sent(app, ("order.placed", {"order": "a"}, "k"), business_id="other")
        await app.runtime.wait_idle()
        waiting = await app.store.read(lambda tx: list_runs(tx, status="waiting"))
        assert [one.waits_for for one in waiting] == ["payment.succeeded"] * 5
        assert [one.due_at for one in waiting] == [None] * 5
        assert (await run_of(app)).waits[0].where == {"order_id": "a"}
        async with app.session():
            await send(Payment.succeeded, order_id="a", amount=Decimal("12.50"))
            await send(Payment.failed, order_id="b", amount=Decimal("1"))
        await app.runtime.wait_idle()
        await app.ports.clock.sleep(1)
        await app.runtime.wait_idle()
        assert seen == [("a", Decimal("12.50"))] * 2
        left = await app.store.read(lambda tx: tx.rows(waits.select()))
        assert len(left) == 3


async def test_a_wait_times_out_once_and_for_all():
    seen, tries = [], 0

    @on("order.placed")
    async def follow(event: Event) -> None:
        nonlocal tries
        tries += 1
        try:
            await step.wait_for("payment.came", timeout="3 days")
            seen.append("paid")
        except WaitTimeoutError:
            seen.append("late")
            if len(seen) == 1:
                await send("payment.came", {})
                raise TransientError("once more") from None

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        await app.ports.clock.sleep(3 * 86_400 - 5)
        assert not seen
        await app.ports.clock.sleep(6)
        await sent(app, ("payment.came", {}, "k"))
        await app.runtime.wait_idle()
        assert (await run_of(app)).summary.status == "done"
    assert seen == ["late", "late"]


@pytest.mark.parametrize(("since", "found"), [(None, "late"), ("start", 7)])
async def test_an_event_that_was_faster_than_the_wait_counts_only_if_asked_for(since, found):
    seen = []

    async def request() -> None:
        async with app.session():
            await send(Payment.succeeded, order_id="a", amount=Decimal(7))

    @on("order.placed")
    async def follow(event: Event) -> None:
        await step("request", request)
        try:
            paid = await step.wait_for(
                Payment.succeeded, where={"order_id": "a"}, timeout="1 hour", since=since
            )
            seen.append(paid.amount)
        except WaitTimeoutError:
            seen.append("late")

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        await app.ports.clock.sleep(3700)
        await app.runtime.wait_idle()
    assert seen == [found]


async def test_waiting_again_after_an_event_finds_the_next_one():
    seen = []

    @on("order.placed")
    async def follow(event: Event) -> None:
        last = event
        for n in range(3):
            last = await step.wait_for("part.came", since=last, key=n)
            seen.append((n, last.payload["n"]))

    async with running_app(follow) as app:
        await sent(
            app, ("order.placed", {}, "k"), *(("part.came", {"n": n}, "k") for n in range(3))
        )
        for _ in range(4):
            await app.runtime.wait_idle()
            await app.ports.clock.sleep(1)
        assert (await run_of(app)).summary.status == "done"
    assert seen[-3:] == [(0, 0), (1, 1), (2, 2)]


async def test_the_first_of_several_events_is_handed_over_as_an_event():
    seen = []

    @on("order.placed")
    async def follow(event: Event) -> None:
        outcome = await step.wait_for(Payment.succeeded, Payment.failed, timeout="1 day")
        seen.append(outcome.type)

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        await sent(app, (Payment.failed, {}, "p"), (Payment.succeeded, {}, "p"))
        await app.ports.clock.sleep(1)
        await app.runtime.wait_idle()
        assert not await app.store.read(lambda tx: tx.rows(waits.select()))
    assert seen == ["payment.failed"]


async def test_an_event_with_a_delay_wakes_nobody():
    seen = []
    async with running_app(order_handler(seen, timeout="1 hour")) as app:
        await sent(app, ("order.placed", {"order": "a"}, "k"))
        await app.runtime.wait_idle()
        await sent(app, (Payment.succeeded, {"order_id": "a"}, "k"), delay="10 minutes")
        await app.ports.clock.sleep(3700)
        await app.runtime.wait_idle()
    assert seen == [("a", "late")]


async def test_an_event_that_comes_while_the_process_is_down_is_not_missed(tmp_path):
    seen = []
    handler = order_handler(seen)
    async with running_app(handler, database=tmp_path / "a.db") as app:
        await sent(app, ("order.placed", {"order": "a"}, "k"))
        await app.runtime.wait_idle()
        settings, ports = app.settings, app.ports
    async with App(settings=settings, ports=ports) as other, other.session():
        await send(Payment.succeeded, order_id="a", amount=Decimal(3))
    async with running_app(handler, database=tmp_path / "a.db") as app:
        await app.ports.clock.sleep(3)
        await app.runtime.wait_idle()
    assert seen == [("a", Decimal(3))]


async def test_a_field_that_the_entity_does_not_have_is_refused():
    errors = []

    @on("order.placed")
    async def follow(event: Event) -> None:
        try:
            await step.wait_for(Payment.succeeded, where={"ordr_id": 1})
        except UsageError as error:
            errors.append(str(error))

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
    assert "order_id" in errors[0]


@pytest.mark.parametrize(
    ("where", "fit", "miss"),
    [
        ({"a": 1}, {"a": 1}, {"a": True}),
        ({"a": True}, {"a": True}, {"a": 1}),
        ({"a": Decimal("12.5")}, {"a": "12.50"}, {"a": "12.51"}),
        ({"a": {"in": ["x", "y"]}}, {"a": "y"}, {"a": "z"}),
        ({"a": {"gt": 5}}, {"a": 6}, {"a": 5}),
        ({"a": {"gte": Decimal("1.5")}}, {"a": "1.5"}, {"a": "1.4"}),
        ({"a": {"ne": "x"}}, {}, {"a": "x"}),
        ({"a": {"contains": "x"}}, {"a": ["x"]}, {"a": ["y"]}),
        ({"a": {"is_null": True}}, {}, {"a": 0}),
        ({"custom.tier": "gold"}, {"custom": {"tier": "gold"}}, {"custom": {}}),
    ],
)
def test_conditions(where, fit, miss):
    stored = json.decode(json.encode(plain_conditions(where)))
    assert fits(stored, fit)
    assert not fits(stored, miss)


def test_an_unknown_operator_is_refused():
    with pytest.raises(UsageError, match="is_null"):
        plain_conditions({"a": {"like": "x"}})


async def test_records_written_before_a_wait_are_there_while_it_waits():
    @on("order.placed")
    async def follow(event: Event) -> None:
        await db.create(Payment, order_id="a", amount=Decimal(1))
        await step.wait_for("never.comes", timeout="1 hour")

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        async with app.session():
            assert await db.count(Payment) == 1
