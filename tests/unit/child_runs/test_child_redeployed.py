"""A handler that is no fit child run any more: what it began as one still ends for the parent."""

import asyncio

from child_program import settled, shown, statuses

from dovetail import Event, on, send, step
from dovetail.testing.app import running_app


def version(function, **options):
    function.__qualname__ = "kid"
    return on("kid.wanted", **options)(function)


def alone():
    async def kid(event: Event) -> str:
        await asyncio.sleep(3600)
        return "slept"

    return version(kid)


def called_with_a_list():
    async def kid(events: list[Event]) -> None: ...

    return version(kid, batch=10)


def debounced():
    async def kid(event: Event) -> str:
        return f"for {event.payload['by']}"

    return version(kid, debounce="10 seconds")


def parent(seen):
    @on("order.placed")
    async def fulfil(event: Event) -> None:
        seen.append(await step.run("kid", event))

    return fulfil


async def begun(path, fulfil, *, then=()):
    async with running_app(fulfil, alone(), database=path) as app:
        async with app.session():
            await send("order.placed", {"by": "the parent"}, key="o1")
        await app.ports.clock.sleep(5)
        async with app.session():
            for by in then:
                await send("kid.wanted", {"by": by}, key="o1")


async def replayed(path, fulfil):
    async with running_app(fulfil, alone(), database=path) as app:
        assert await app.runtime.replay_dead([1]) == [1]
        await settled(app)
        assert (await statuses(app))[1] == ("fulfil", "done")


async def test_where_it_is_called_with_a_list_now_the_parent_is_told_of_the_end(tmp_path):
    path, seen = tmp_path / "app.db", []
    fulfil = parent(seen)
    await begun(path, fulfil)
    async with running_app(fulfil, called_with_a_list(), database=path) as app:
        await settled(app)
        assert await statuses(app) == {1: ("fulfil", "dead"), 2: ("kid", "done")}
        assert "kid cannot be a child run" in (await shown(app)).error["message"]
    await replayed(path, fulfil)
    assert seen == [None]


async def test_where_another_event_was_the_latest_the_parent_gets_the_result_of_that(tmp_path):
    path, seen = tmp_path / "app.db", []
    fulfil = parent(seen)
    await begun(path, fulfil, then=["another"])
    async with running_app(fulfil, debounced(), database=path) as app:
        await app.ports.clock.sleep(30)
        await settled(app)
        assert await statuses(app) == {
            1: ("fulfil", "dead"),
            2: ("kid", "done"),
            3: ("kid", "done"),
        }
    await replayed(path, fulfil)
    assert seen == ["for another"]
