"""Sagas: what a run did is undone in reverse when it fails for good or is cancelled."""

import asyncio

import pytest

from dovetail import App, Entity, Event, Retry, db, on, send, step
from dovetail.errors import PermanentError, RunCancelled, TransientError, UsageError
from dovetail.runtime.dead_letter import list_dead
from dovetail.runtime.runs import list_runs, show_run
from dovetail.testing.app import running_app


class Note(Entity):
    text: str | None = None


async def sent(app, *events):
    async with app.session():
        return [await send(name, fields, key=key) for name, fields, key in events]


async def run_of(app, delivery_id=1):
    return await app.store.read(lambda tx: show_run(tx, delivery_id))


async def fail(error: Exception) -> None:
    raise error


async def test_a_run_that_fails_for_good_is_undone_in_reverse(agency):
    @on("trip.wanted")
    async def travel(event: Event) -> None:
        for what in ("flight", "hotel", "car"):
            await step("book", agency.book, what, key=what, undo=agency.cancel)
        await step("mail", agency.book, "mail")
        await step("pay", fail, PermanentError("no money"))

    async with running_app(travel) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        (letter,) = await app.store.read(list_dead)
        view = await run_of(app)
    assert agency.told[4:] == ["cancel car", "cancel hotel", "cancel flight"]
    assert letter.error["message"] == "no money"
    assert letter.error["undone"] == ["book [car]", "book [hotel]", "book [flight]"]
    assert [one.undone_at is not None for one in view.journal[:4]] == [True, True, True, False]


async def test_an_undo_is_tried_again_and_what_it_could_not_undo_is_said_and_can_be_gone_on_with(
    agency,
):
    agency.broken = {"hotel"}

    @on("trip.wanted", retry=Retry(attempts=3))
    async def travel(event: Event) -> None:
        for what in ("flight", "hotel", "car"):
            await step("book", agency.book, what, key=what, undo=agency.cancel)
        raise PermanentError("no money")

    async with running_app(travel) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        (letter,) = await app.store.read(list_dead)
        assert letter.error["code"] == "compensation"
        assert letter.error["facts"]["not_undone"] == ["book [hotel]", "book [flight]"]
        assert letter.error["facts"]["undone"] == ["book [car]"]
        assert "no money" in letter.error["message"]
        agency.broken.clear()
        await app.runtime.replay_dead([1])
        await app.ports.clock.sleep(2)
        await app.runtime.wait_idle()
        (letter,) = await app.store.read(list_dead)
        assert letter.error["message"] == "no money"
        assert agency.told[3:] == ["cancel car", "cancel hotel", "cancel flight"]
        await app.runtime.replay_dead([1])  # undone whole: from the start
        await app.ports.clock.sleep(2)
        await app.runtime.wait_idle()
    assert agency.told[6:] == [*agency.told[:3], "cancel car", "cancel hotel", "cancel flight"]


async def test_what_an_undo_writes_and_sends_commits_with_it_once(agency):
    tries = 0

    async def give_back(booking: dict[str, str]) -> None:
        nonlocal tries
        tries += 1
        await db.create(Note, text=booking["booked"])
        await send("given.back", {})
        if tries == 1:
            raise TransientError("after writing")

    heard = []

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        await db.create(Note, text="never")
        await step("book", agency.book, "flight", undo=give_back)
        raise PermanentError("no money")

    @on("given.back")
    async def hear(event: Event) -> None:
        heard.append(event.id)

    async with running_app(travel, hear) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        async with app.session():
            assert [note.text for note in await db.query(Note)] == ["flight"]
    assert len(heard) == 1


async def test_a_changed_step_undoes_nothing(agency):
    tries = 0

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        nonlocal tries
        tries += 1
        await step("book", agency.book, f"flight {tries}", undo=agency.cancel)
        raise TransientError("again")

    async with running_app(travel) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        (letter,) = await app.store.read(list_dead)
    assert agency.told == ["book flight 1"]
    assert letter.error["code"] == "replay-mismatch"
    assert "argument 1 (what) has another value" in letter.error["message"]
    assert "--from-start" in letter.error["message"]


async def test_compensate_in_an_except_and_the_run_ends_in_an_ordinary_way(agency):
    tries, paid, errors = 0, 0, []

    async def pay() -> None:
        nonlocal paid
        paid += 1
        if paid == 1:
            raise PermanentError("declined", platform="bank")

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        nonlocal tries
        tries += 1
        try:
            await step("book", agency.book, "flight", undo=agency.cancel)
            await step("pay", pay)
        except PermanentError as error:
            errors.append((str(error), error.platform))
            await step.compensate()
            await send("trip.off", {})
        if tries == 1:
            raise TransientError("after undoing")

    async with running_app(travel) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        assert (await run_of(app)).summary.status == "done"
    assert (tries, paid) == (2, 1)
    assert errors == [("declined", "bank")] * 2
    assert agency.told == ["book flight", "cancel flight"]


async def test_a_crash_while_undoing_goes_on_undoing(agency, tmp_path):
    agency.broken = {"hotel"}

    @on("trip.wanted", retry=Retry(attempts=20, base_s=20))
    async def travel(event: Event) -> None:
        for what in ("flight", "hotel", "car"):
            await step("book", agency.book, what, key=what, undo=agency.cancel)
        raise PermanentError("no money")

    async with running_app(travel, database=tmp_path / "a.db") as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.ports.clock.sleep(1)
        assert (await run_of(app)).summary.status == "compensating"
    agency.broken.clear()
    async with running_app(travel, database=tmp_path / "a.db") as app:
        await app.runtime.wait_idle()
        assert (await run_of(app)).summary.status == "dead"
    assert agency.told == [
        "book flight", "book hotel", "book car", "cancel car", "cancel hotel", "cancel flight",
    ]  # fmt: skip


async def test_a_sleeping_run_is_cancelled_and_undone(agency):
    seen = []

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        await step("book", agency.book, "flight", undo=agency.cancel)
        try:
            await step.sleep("9 days")
        except RunCancelled:
            seen.append("told")
            raise
        await step("book", agency.book, "never")

    async with running_app(travel) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        assert await app.runtime.cancel(1, "the customer called") == "cancelling"
        await app.ports.clock.sleep(2)
        await app.runtime.wait_idle()
        view = await run_of(app)
        assert await app.runtime.cancel(1) == "over"
        assert not await app.store.read(list_dead)
        assert len(await app.store.read(lambda tx: list_runs(tx, status="cancelled"))) == 1
    assert (view.summary.status, view.reason) == ("cancelled", "the customer called")
    assert view.error["undone"] == ["book"]
    assert agency.told == ["book flight", "cancel flight"]
    assert seen == ["told"]


async def test_a_running_run_is_cancelled_at_its_next_step(agency):
    async def slow() -> None:
        await asyncio.sleep(100)

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        await step("book", agency.book, "flight", undo=agency.cancel)
        await step("slow", slow)
        await step("book", agency.book, "hotel", undo=agency.cancel)

    async with running_app(travel) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.ports.clock.sleep(50)
        assert await app.runtime.cancel(1) == "cancelling"
        await app.runtime.wait_idle()
        assert (await run_of(app)).summary.status == "cancelled"
    assert agency.told == ["book flight", "cancel flight"]


async def test_a_run_that_has_not_begun_is_cancelled_without_being_run():
    ran = []

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        ran.append(event)
        await asyncio.sleep(10)

    async with running_app(travel) as app:
        async with app.session():
            await send("trip.wanted", {}, key="k")
            await send("trip.wanted", {}, key="k")
            await send("trip.wanted", {}, key="later", delay="1 day")
        await app.ports.clock.sleep(1)
        assert await app.runtime.cancel(2) == "cancelling"
        assert await app.runtime.cancel(3) == "cancelled"
        await app.runtime.wait_idle()
        statuses = [(await run_of(app, n)).summary.status for n in (1, 2, 3)]
        with pytest.raises(UsageError, match="no run 99"):
            await app.runtime.cancel(99)
    assert statuses == ["done", "cancelled", "cancelled"]
    assert len(ran) == 1


async def test_what_a_handler_writes_after_it_was_cancelled_commits_if_it_ends_regularly(agency):
    @on("trip.wanted")
    async def travel(event: Event) -> None:
        await step("book", agency.book, "flight", undo=agency.cancel)
        try:
            await step.sleep("1 day")
        except RunCancelled:
            await db.create(Note, text="cancelled")

    async with running_app(travel) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        await app.runtime.cancel(1)
        await app.ports.clock.sleep(2)
        await app.runtime.wait_idle()
        async with app.session():
            assert await db.count(Note) == 1
        assert (await run_of(app)).summary.status == "cancelled"
    assert agency.told == ["book flight", "cancel flight"]


async def test_a_cancellation_survives_a_restart_and_comes_from_another_process(agency, tmp_path):
    @on("trip.wanted")
    async def travel(event: Event) -> None:
        await step("book", agency.book, "flight", undo=agency.cancel)
        await step.sleep("9 days")

    async with running_app(travel, database=tmp_path / "a.db") as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        other = App(settings=app.settings, ports=app.ports)  # as `dovetail runs cancel` has it
        async with other:
            await other.runtime.cancel(1)
    async with running_app(travel, database=tmp_path / "a.db") as app:
        await app.ports.clock.sleep(3)
        await app.runtime.wait_idle()
        assert (await run_of(app)).summary.status == "cancelled"
    assert agency.told == ["book flight", "cancel flight"]


async def test_steps_side_by_side_keep_what_they_have_when_one_fails():
    ran, tries = [], 0

    async def fetch(what: str) -> str:
        nonlocal tries
        ran.append(what)
        await asyncio.sleep(10)
        if what == "b":
            tries += 1
            if tries == 1:
                raise TransientError("not yet")
        return what.upper()

    results = []

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        results.append(
            await step.gather(*(step.later("fetch", fetch, what, key=what) for what in "abc"))
        )

    async with running_app(travel) as app:
        began = app.ports.clock.now()
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
        took = app.ports.clock.now() - began
    assert results == [["A", "B", "C"]]
    assert sorted(ran) == ["a", "b", "b", "c"]
    assert took.total_seconds() < 25


async def test_of_several_errors_the_one_that_is_final_is_raised():
    errors = []

    @on("trip.wanted")
    async def travel(event: Event) -> None:
        try:
            await step.gather(
                step.later("a", fail, TransientError("soon")),
                step.later("b", fail, PermanentError("never")),
            )
        except PermanentError as error:
            errors.append((str(error), error.__notes__))

    async with running_app(travel) as app:
        await sent(app, ("trip.wanted", {}, "k"))
        await app.runtime.wait_idle()
    assert errors == [("never", ["Other steps failed, too: a: soon"])]
