"""The look before a deploy: which open runs the new code cannot go on with."""

import asyncio

from dovetail import Event, idempotent, on, send, step
from dovetail.app.load import program_of
from dovetail.runtime.open_runs import open_runs_report
from dovetail.testing.app import make_module, running_app


async def work(n: int = 0) -> int:
    return n


async def ask(part: str) -> None:
    await step(f"ask {part}", work)
    await step("asked", work)


@on("order.placed")
async def follow(event: Event) -> None:
    await step("first", work)
    await ask("one")
    await idempotent("k")(work, 1)
    await step.gather(step.later("side", work))
    await step.sleep("1 hour")


def handlers_of(*functions):
    return program_of(make_module(*functions)).handlers


async def report_of(app, *functions):
    handlers = handlers_of(*functions)
    return await app.store.read(lambda tx: open_runs_report(tx, handlers))


async def test_what_new_code_lacks_is_named_and_what_it_has_is_not():
    def changed(name):
        @on("order.placed")
        async def follow(event: Event) -> None:
            await step("first", work)
            await step(name, work)
            await step.sleep("1 hour")

        return follow

    @on("order.placed")
    async def follow_fixed(event: Event) -> None:
        await step("first", work)
        await step.sleep("1 hour")

    follow_fixed.__qualname__ = "follow"

    @on("other.thing")
    async def other(event: Event) -> None:
        await step("first", work)

    async with running_app(follow) as app:
        async with app.session():
            await send("order.placed", {})
        await app.runtime.wait_idle()
        same = await report_of(app, follow)
        fixed = await report_of(app, follow_fixed)
        gone = await report_of(app, other)
        dynamic = changed("x")
        dynamic.__qualname__ = "follow"
        unknown = await report_of(app, dynamic)
    assert (same.checked, same.found, same.is_safe) == (1, [], True)
    assert [(one.problem, one.names) for one in fixed.found] == [
        ("step-gone", ["ask one", "asked", "idempotent:k", "side"])
    ]
    assert [(one.problem, one.handler) for one in gone.found] == [("handler-gone", "follow")]
    assert unknown.found[0].problem == "unknown"
    assert unknown.is_safe
    assert not fixed.is_safe


@on("label.wanted")
async def label(event: Event) -> str:
    return "label"


async def test_child_runs_are_known_by_the_handler_that_is_run():
    def parent(body):
        body.__qualname__ = body.__name__ = "follow_children"
        return on("order.placed")(body)

    async def before(event: Event) -> None:
        await step.run(label, key=1)
        await step.sleep("1 hour")

    async def named(event: Event) -> None:
        await step.run("label", key=1)
        await step.sleep("1 hour")

    async def without(event: Event) -> None:
        asyncio.run  # noqa: B018 - is no child run
        await step.sleep("1 hour")

    async def other(event: Event) -> None:
        chosen = label
        await step.run(chosen)
        await step.sleep("1 hour")

    first = parent(before)
    async with running_app(first, label) as app:
        async with app.session():
            await send("order.placed", {})
        await app.runtime.wait_idle()
        await app.ports.clock.sleep(1)
        assert (await report_of(app, first, label)).found == []
        assert (await report_of(app, parent(named), label)).found == []
        (gone,) = (await report_of(app, parent(without), label)).found
        assert (gone.problem, gone.names) == ("step-gone", ["label"])
        (unknown,) = (await report_of(app, parent(other), label)).found
        assert (unknown.problem, unknown.names) == ("unknown", ["label"])
