"""Durable execution: order, retries, steps, dead letters, schedules, restarts."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from dovetail import Entity, Event, Retry, db, every, now, on, send, step
from dovetail.entities import Contact
from dovetail.errors import (
    DeclarationError,
    PermanentError,
    TransientError,
    UsageError,
)
from dovetail.runtime.dead_letter import list_dead
from dovetail.runtime.history import count_by_status, list_events
from dovetail.service.context import increment
from dovetail.testing.app import running_app

T0 = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


class Tally(Entity):
    name: str | None = None
    total: int = 0


async def sent(app, *events, business_id="default"):
    async with app.session(business_id):
        return [await send(name, fields, key=key) for name, fields, key in events]


async def counts(app):
    return await app.store.read(count_by_status)


async def dead(app):
    return await app.store.read(list_dead)


async def test_a_handler_gets_the_entity_of_its_event():
    seen = []

    @on(Contact.created)
    async def greet(contact: Contact) -> None:
        seen.append((contact.first_name, contact.business_id, contact.version))

    async with running_app(greet) as app:
        async with app.session("acme"):
            await db.create(Contact, first_name="Ada")
        await app.runtime.wait_idle()
    assert seen == [("Ada", "acme", 1)]


async def test_events_of_one_key_run_in_order_and_never_together():
    seen, running = [], 0

    @on("thing.happened")
    async def handle(event: Event) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(event.payload["takes"])
        seen.append(event.payload["n"])
        running -= 1

    async with running_app(handle) as app:
        await sent(app, *(("thing.happened", {"n": n, "takes": 10 - n}, "one") for n in range(10)))
        await app.runtime.wait_idle()
    assert seen == list(range(10))


async def test_different_keys_run_together():
    async def duration(keys):
        @on("thing.happened")
        async def handle(event: Event) -> None:
            await asyncio.sleep(60)

        async with running_app(handle) as app:
            began = now_of(app)
            await sent(app, *(("thing.happened", {}, key) for key in keys))
            await app.runtime.wait_idle()
            return now_of(app) - began

    assert await duration("aaaa") > timedelta(seconds=239)
    assert await duration("abcd") < timedelta(seconds=61)


def now_of(app):
    return app.ports.clock.now()


async def test_what_a_run_writes_and_sends_commits_together_or_not_at_all():
    tries = 0

    @on("order.placed")
    async def place(event: Event) -> None:
        nonlocal tries
        tries += 1
        await db.create(Tally, name="order")
        await send("order.confirmed", {"n": tries})
        if tries == 1:
            raise TransientError("not yet")

    async with running_app(place) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        async with app.session():
            assert await db.count(Tally) == 1
        confirmed = await app.store.read(lambda tx: list_events(tx, pattern="order.confirmed"))
    assert [event.payload for event in confirmed] == [{"n": 2}]


async def test_a_run_that_runs_again_makes_the_same_ids():
    made = []

    @on("order.placed")
    async def place(event: Event) -> None:
        made.append((await db.create(Tally, name="order")).id)
        if len(made) == 1:
            raise TransientError("not yet")

    async with running_app(place) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
    assert made[0] == made[1]


async def test_retries_are_bounded_and_end_in_the_dead_letters():
    tries = []

    @on("thing.happened", retry=Retry(attempts=4, base_s=10))
    async def handle(event: Event) -> None:
        tries.append(now())
        raise TransientError("the platform is down")

    async with running_app(handle) as app:
        await sent(app, ("thing.happened", {"n": 1}, "k"))
        await app.runtime.wait_idle()
        letters = await dead(app)
    assert len(tries) == 4
    assert len(letters) == 1
    assert letters[0].error["message"] == "the platform is down"
    assert letters[0].event.payload == {"n": 1}
    assert len(letters[0].history) == 4


@pytest.mark.parametrize("error", [PermanentError("no"), KeyError("bug"), ZeroDivisionError()])
async def test_errors_that_do_not_say_so_are_not_retried(error):
    tries = 0

    @on("thing.happened")
    async def handle(event: Event) -> None:
        nonlocal tries
        tries += 1
        raise error

    async with running_app(handle) as app:
        await sent(app, ("thing.happened", {}, "k"))
        await app.runtime.wait_idle()
        assert len(await dead(app)) == 1
    assert tries == 1


async def test_a_poison_event_does_not_wedge_its_key():
    seen = []

    @on("thing.happened")
    async def handle(event: Event) -> None:
        if event.payload["n"] == 1:
            raise PermanentError("poison")
        seen.append(event.payload["n"])

    async with running_app(handle) as app:
        await sent(app, *(("thing.happened", {"n": n}, "k") for n in range(4)))
        await app.runtime.wait_idle()
    assert seen == [0, 2, 3]


async def test_a_retrying_event_keeps_its_place_in_its_key():
    seen, failed = [], False

    @on("thing.happened")
    async def handle(event: Event) -> None:
        nonlocal failed
        if event.payload["n"] == 0 and not failed:
            failed = True
            raise TransientError("once")
        seen.append(event.payload["n"])

    async with running_app(handle) as app:
        await sent(app, *(("thing.happened", {"n": n}, "k") for n in range(3)))
        await app.runtime.wait_idle()
    assert seen == [0, 1, 2]


async def test_a_dead_letter_is_replayed_from_where_it_stopped():
    charged, healthy = [], False

    def charge() -> None:
        charged.append(1)

    @on("order.placed")
    async def place(event: Event) -> None:
        await step("charge", charge)
        if not healthy:
            raise PermanentError("ledger is closed")

    async with running_app(place) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        (letter,) = await dead(app)
        healthy = True
        assert await app.runtime.replay_dead([letter.id]) == [letter.id]
        await app.ports.clock.sleep(1)
        await app.runtime.wait_idle()
        assert await dead(app) == []
        assert (await counts(app))["done"] == 1
    assert charged == [1]


async def test_increments_from_many_runs_all_count():
    @on("thing.happened")
    async def add(event: Event) -> None:
        await db.update(Tally, event.payload["tally"], total=increment(1))

    async with running_app(add) as app:
        async with app.session():
            tally = await db.create(Tally, name="t")
        await sent(app, *(("thing.happened", {"tally": tally.id}, str(n)) for n in range(50)))
        await app.runtime.wait_idle()
        async with app.session():
            assert (await db.get(Tally, tally.id)).total == 50


async def test_a_stale_write_starts_the_run_over():
    @on("thing.happened")
    async def add(event: Event) -> None:
        tally = await db.get(Tally, event.payload["tally"])
        await asyncio.sleep(0.1)
        await db.update(tally, total=tally.total + 1)

    async with running_app(add) as app:
        async with app.session():
            tally = await db.create(Tally, name="t")
        await sent(app, *(("thing.happened", {"tally": tally.id}, str(n)) for n in range(4)))
        await app.runtime.wait_idle()
        async with app.session():
            assert (await db.get(Tally, tally.id)).total == 4


async def test_a_handler_may_update_the_entity_of_its_event_though_it_has_moved_on():
    @on(Contact.created)
    async def greet(contact: Contact) -> None:
        await asyncio.sleep(1)
        await db.update(contact, job_title="greeted")

    async with running_app(greet) as app:
        async with app.session():
            made = await db.create(Contact, first_name="Ada")
        async with app.session():
            await db.update(Contact, made.id, phone="1")
        await app.runtime.wait_idle()
        assert await dead(app) == []
        async with app.session():
            contact = await db.get(Contact, made.id)
    assert (contact.phone, contact.job_title) == ("1", "greeted")


async def test_a_delayed_event_waits():
    at = []

    @on("reminder.due")
    async def remind(event: Event) -> None:
        at.append(now())

    async with running_app(remind) as app:
        began = now_of(app)
        async with app.session():
            await send("reminder.due", {}, delay="2 days")
        await app.ports.clock.sleep(3 * 86_400)
    assert timedelta(days=2) <= at[0] - began < timedelta(days=2, seconds=3)


async def test_a_schedule_ticks_and_catches_up_once(tmp_path):
    ticks = []

    @every("15 minutes")
    async def tick(event: Event) -> None:
        ticks.append((event.payload["due_at"], now()))

    async def run_for(seconds):
        async with running_app(tick, database=tmp_path / "app.db") as app:
            await app.ports.clock.sleep(seconds)

    await run_for(1801)
    assert [due[11:16] for due, _ in ticks] == ["09:15", "09:30"]
    # The clock of a new app starts at the same 09:00: what was sent is not sent again.
    await run_for(1801)
    assert len(ticks) == 2
    await run_for(3601)
    assert [due[11:16] for due, _ in ticks[2:]] == ["09:45", "10:00"]


async def test_ticks_that_were_missed_are_caught_up_by_one(tmp_path):
    ticks = []

    @every("15 minutes")
    async def tick(event: Event) -> None:
        ticks.append(event.payload["due_at"][11:16])

    database = tmp_path / "app.db"
    async with running_app(tick, database=database) as app:
        await app.ports.clock.sleep(901)
    async with running_app(tick, database=database, start=T0 + timedelta(hours=3)) as app:
        await app.ports.clock.sleep(1)
    assert ticks == ["09:15", "12:00"]


async def test_tenants_do_not_see_each_other():
    async with running_app() as app:
        async with app.session("acme"):
            await db.create(Tally, name="a")
        async with app.session("other"):
            assert await db.find_one(Tally, name="a") is None
            assert await db.across_tenants().count(Tally) == 1


@pytest.mark.parametrize(
    "use", [lambda: db.count(Tally), lambda: send("x.y"), lambda: step("s", print)]
)
async def test_outside_a_handler_the_api_says_where_it_works(use):
    with pytest.raises(UsageError, match="inside a handler"):
        await use()


async def test_a_payload_that_does_not_fit_is_a_dead_letter_that_says_so():
    @on(Contact.created)
    async def greet(contact: Contact) -> None: ...

    async with running_app(greet) as app:
        await sent(app, ("contact.created", {"first_name": {"not": "text"}}, "k"))
        await app.runtime.wait_idle()
        (letter,) = await dead(app)
    assert letter.error["code"] == DeclarationError.code
    assert "first_name" in letter.error["message"]


async def test_a_plain_function_runs_too():
    seen = []

    @on("thing.happened")
    def handle(event: Event) -> None:
        seen.append(event.payload["n"])

    async with running_app(handle) as app:
        await sent(app, ("thing.happened", {"n": 1}, "k"))
        await app.runtime.wait_idle()
    assert seen == [1]
