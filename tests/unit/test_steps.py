"""Steps and idempotent calls: what happened once does not happen again."""

import asyncio

from dovetail import Event, idempotent, on, send, step
from dovetail.entities import Contact
from dovetail.errors import (
    ReplayMismatchError,
    TransientError,
)
from dovetail.runtime.dead_letter import list_dead
from dovetail.runtime.history import deliveries_of, find_event
from dovetail.testing.app import running_app


async def sent(app, *events):
    async with app.session():
        return [await send(name, fields, key=key) for name, fields, key in events]


async def dead(app):
    return await app.store.read(list_dead)


async def test_a_finished_step_is_not_repeated():
    charged, tries = [], 0

    async def charge(amount: int) -> dict[str, int]:
        charged.append(amount)
        return {"charge": len(charged)}

    @on("order.placed")
    async def place(event: Event) -> None:
        nonlocal tries
        tries += 1
        first = await step("charge", charge, 10)
        second = await step("charge", charge, 20)
        assert (first, second) == ({"charge": 1}, {"charge": 2})
        if tries < 3:
            raise TransientError("after the steps")

    async with running_app(place) as app:
        (event_id,) = await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        event = await app.store.read(lambda tx: find_event(tx, event_id))
        views = await app.store.read(lambda tx: deliveries_of(tx, event))
    assert tries == 3
    assert charged == [10, 20]
    assert views[0].status == "done"
    assert views[0].steps == ["charge", "charge"]


async def test_a_step_with_other_arguments_is_told_apart():
    tries = 0

    async def work(n: int) -> int:
        return n

    @on("order.placed")
    async def place(event: Event) -> None:
        nonlocal tries
        tries += 1
        await step("work", work, tries)
        raise TransientError("again")

    async with running_app(place) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
        letters = await dead(app)
    assert letters[0].error["code"] == ReplayMismatchError.code


async def test_a_step_reads_back_as_its_annotation():
    kinds, tries = [], 0

    async def look_up() -> Contact:
        return Contact(first_name="Ada")

    @on("order.placed")
    async def place(event: Event) -> None:
        nonlocal tries
        tries += 1
        kinds.append(type(await step("look up", look_up)))
        if tries == 1:
            raise TransientError("again")

    async with running_app(place) as app:
        await sent(app, ("order.placed", {}, "k"))
        await app.runtime.wait_idle()
    assert kinds == [Contact, Contact]


async def test_idempotent_makes_one_effect_over_runs():
    charged, results = [], []

    async def charge(order: str) -> str:
        await asyncio.sleep(1)
        charged.append(order)
        return f"charge-{len(charged)}"

    @on("order.placed")
    async def place(event: Event) -> None:
        results.append(await idempotent("order-17")(charge, event.payload["order"]))

    async with running_app(place) as app:
        await sent(app, *(("order.placed", {"order": "17"}, str(n)) for n in range(3)))
        await app.runtime.wait_idle()
        await sent(app, ("order.placed", {"order": "18"}, "other"))
        await app.runtime.wait_idle()
        (letter,) = await dead(app)
    assert charged == ["17"]
    assert results == ["charge-1"] * 3
    assert "other arguments" in letter.error["message"]
