"""Sleeping runs: never early, through restarts, holding nothing."""

import asyncio
from datetime import datetime, timedelta

import pytest

from dovetail import Entity, Event, db, now, on, send, step
from dovetail.errors import TransientError, UsageError
from dovetail.runtime.history import list_events
from dovetail.runtime.runs import list_runs, show_run
from dovetail.testing.app import START, running_app

DAY_S = 86_400


class Letter(Entity):
    name: str | None = None
    opened: int = 0


async def sent(app, *events, business_id="default"):
    async with app.session(business_id):
        return [await send(name, fields, key=key) for name, fields, key in events]


async def run_of(app, delivery_id=1):
    return await app.store.read(lambda tx: show_run(tx, delivery_id))


async def days(app, count):
    await app.ports.clock.sleep(count * DAY_S)
    await app.runtime.wait_idle()


async def test_a_sleep_ends_when_its_time_has_come_and_not_before():
    told = []

    async def tell(what: str) -> datetime:
        told.append((what, now()))
        return now()

    @on("lead.came")
    async def drip(event: Event) -> None:
        await step("welcome", tell, "welcome")
        await step.sleep("2 days")
        await step("tips", tell, "tips")
        await step.sleep(timedelta(hours=12))
        await step("offer", tell, "offer")
        await step.sleep(90)
        await step("last", tell, "last")

    async with running_app(drip) as app:
        await sent(app, ("lead.came", {}, "k"))
        await app.runtime.wait_idle()
        assert [what for what, _ in told] == ["welcome"]
        assert (await run_of(app)).summary.status == "sleeping"
        await days(app, 1.99)
        assert [what for what, _ in told] == ["welcome"]
        await days(app, 1)
        view = await run_of(app)
    assert view.summary.status == "done"
    moments = [moment - START for _, moment in told]
    assert [what for what, _ in told] == ["welcome", "tips", "offer", "last"]
    for moment, least in zip(
        moments,
        [timedelta(0), timedelta(days=2), timedelta(days=2.5), timedelta(days=2.5, seconds=90)],
        strict=True,
    ):
        assert least <= moment <= least + timedelta(seconds=3)


async def test_a_sleep_survives_restarts(tmp_path):
    told = []

    async def tell(what: str) -> None:
        told.append(what)

    @on("lead.came")
    async def drip(event: Event) -> None:
        await step("welcome", tell, "welcome")
        await step.sleep("2 minutes")
        await step("tips", tell, "tips")

    moment = START
    for step_ in range(4):
        async with running_app(drip, database=tmp_path / "a.db", start=moment) as app:
            if step_ == 0:
                await sent(app, ("lead.came", {}, "k"))
            await app.runtime.wait_idle()
            await app.ports.clock.sleep(54)
            await app.runtime.wait_idle()
            moment = app.ports.clock.now()
        if moment - START < timedelta(minutes=2):
            assert told == ["welcome"]
    assert told == ["welcome", "tips"]


async def test_a_sleeping_run_holds_neither_its_key_nor_a_place():
    done = []

    @on("lead.came")
    async def drip(event: Event) -> None:
        if event.payload["n"] < 300:
            await step.sleep("1 day")
        done.append(event.payload["n"])

    async with running_app(drip) as app:
        await sent(app, *(("lead.came", {"n": n}, "one key") for n in range(301)))
        await app.runtime.wait_idle()
        assert done == [300]
        assert app.runtime._dispatcher.running == 0
        await days(app, 1.1)
    assert sorted(done) == list(range(301))


async def test_what_was_written_and_sent_before_a_sleep_commits_as_it_begins_and_only_once():
    @on("order.placed")
    async def follow(event: Event) -> None:
        letter = await db.create(Letter, name="first")
        await db.update(letter, opened=1)
        await send("mail.wanted", {"n": 1})
        await step.sleep("1 day")
        again = await db.get(Letter, letter.id)
        await db.update(again, opened=again.opened + 10)
        await send("mail.wanted", {"n": 2})
        await db.create(Letter, name="second")
        await step.sleep("1 day")
        await send("mail.wanted", {"n": 3})

    async def state(app):
        async with app.session():
            letters = [(one.name, one.opened) for one in await db.query(Letter, order_by="id")]
        mails = await app.store.read(lambda tx: list_events(tx, pattern="mail.wanted"))
        return sorted(letters), [mail.payload["n"] for mail in mails]

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        assert await state(app) == ([("first", 1)], [1])
        await days(app, 1.1)
        assert await state(app) == ([("first", 11), ("second", 0)], [1, 2])
        await days(app, 1.1)
        assert await state(app) == ([("first", 11), ("second", 0)], [1, 2, 3])
        assert (await run_of(app)).summary.status == "done"


async def test_what_a_finally_does_while_the_run_goes_to_sleep_is_dropped():
    passes = []

    @on("order.placed")
    async def follow(event: Event) -> None:
        try:
            await step.sleep("1 day")
        finally:
            passes.append(now())
            await send("mail.wanted", {})

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        assert not await app.store.read(lambda tx: list_events(tx, pattern="mail.wanted"))
        await days(app, 1.1)
        assert len(await app.store.read(lambda tx: list_events(tx, pattern="mail.wanted"))) == 1
    assert len(passes) == 2


async def test_tries_are_counted_anew_after_a_sleep():
    tries = 0

    async def flaky() -> None:
        nonlocal tries
        tries += 1
        if tries % 7:
            raise TransientError("not yet")

    @on("order.placed")
    async def follow(event: Event) -> None:
        for round_ in range(3):
            await step("flaky", flaky, key=round_)
            await step.sleep("1 hour")

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        for _ in range(3):
            await app.runtime.wait_idle()
            await days(app, 0.1)
        assert (await run_of(app)).summary.status == "done"
    assert tries == 21


async def test_sleep_until_a_moment_and_not_at_all_when_it_has_been():
    woke = []

    @on("order.placed")
    async def follow(event: Event) -> None:
        await step.sleep_until(START - timedelta(days=1), name="past")
        await step.sleep_until(START + timedelta(hours=5))
        woke.append(now())

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        await days(app, 1)
    assert START + timedelta(hours=5) <= woke[0] < START + timedelta(hours=5, seconds=3)


@pytest.mark.parametrize("side", [asyncio.gather, asyncio.create_task])
async def test_a_task_beside_the_run_cannot_sleep(side):
    errors = []

    @on("order.placed")
    async def follow(event: Event) -> None:
        try:
            await side(step.sleep("1 day"))
        except UsageError as error:
            errors.append(str(error))

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
    assert "one after the other" in errors[0]


async def test_a_session_cannot_sleep():
    async with running_app() as app, app.session():
        with pytest.raises(UsageError, match="needs the run of a handler"):
            await step.sleep("1 day")


async def test_a_moment_without_a_time_zone_is_refused():
    errors = []

    @on("order.placed")
    async def follow(event: Event) -> None:
        try:
            await step.sleep_until(datetime(2026, 5, 1))  # noqa: DTZ001
        except UsageError as error:
            errors.append(str(error))

    async with running_app(follow) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
    assert "time zone" in errors[0]


async def test_changed_code_does_not_move_a_sleep_that_has_begun(tmp_path):
    woke = []

    def drip_of(length):
        @on("lead.came")
        async def drip(event: Event) -> None:
            await step.sleep(length)
            woke.append(now())

        return drip

    async with running_app(drip_of("2 minutes"), database=tmp_path / "a.db") as app:
        await sent(app, ("lead.came", {}, "k"))
        await app.runtime.wait_idle()
    async with running_app(drip_of("9 days"), database=tmp_path / "a.db") as app:
        await app.ports.clock.sleep(125)
        assert not await app.store.read(lambda tx: list_runs(tx, status="sleeping"))
    assert woke[0] >= START + timedelta(minutes=2)
