"""A process that dies after any of its commits leaves parents and children whole."""

import asyncio
from collections import Counter

import pytest
from child_program import Parcel

from dovetail import Event, Retry, db, on, send, step
from dovetail.app.load import program_of
from dovetail.core.clock import LoopClock
from dovetail.errors import ChildFailedError, PermanentError
from dovetail.runtime.child_run import open_children
from dovetail.runtime.runs import list_runs, show_run
from dovetail.testing.app import START, make_module
from dovetail.testing.simulation.loop import SeededLoop
from dovetail.testing.simulation.network import Network
from dovetail.testing.simulation.process import KilledError, Process, outside, task_factory
from dovetail.testing.simulation.tokens import Tokens
from dovetail.testing.simulation.trace import Trace

PATIENT = Retry(deaths=1_000)


async def weigh(number: int) -> int:
    return number


@on("leaf.wanted", retry=PATIENT)
async def leaf(event: Event) -> int:
    await db.create(Parcel, order=f"leaf {event.payload['number']}")
    return event.payload["number"]


@on("branch.wanted", retry=PATIENT)
async def branch(event: Event) -> int:
    first = await step("weigh", weigh, 10)
    second = await step.run(leaf, number=1)
    await db.create(Parcel, order="branch")
    return first + second


@on("broken.wanted", retry=PATIENT)
async def broken(event: Event) -> int:
    raise PermanentError("no")


@on("tree.wanted", retry=PATIENT)
async def tree(event: Event) -> None:
    await db.create(Parcel, order="begun")
    found = await step.gather(
        step.run(branch), step.later("weigh", weigh, 5), step.run(leaf, number=2)
    )
    try:
        await step.run(broken)
    except ChildFailedError:
        found.append(-1)
    await db.create(Parcel, order=f"tree {found}")


class Lives:
    """One process after the other on what the one before has committed."""

    def __init__(self, *handlers):
        self.clock = LoopClock(START)
        self.handlers = handlers
        self.image = None
        self.count = 0

    async def live(self, seconds, *, dies_after=None, act=None):
        """Return what is found after so long; None when the process has died by then."""
        self.count += 1
        network = Network(Trace(self.clock), outside, Tokens())
        program = program_of(make_module(*self.handlers))
        process = Process(program, network, self.clock, f"life {self.count}", self.image)
        await process.open()
        await process.start()
        left = dies_after

        def strike(what):
            nonlocal left
            if left is not None and what == "commit" and process.is_alive:
                left -= 1
                if left <= 0:
                    process.freeze()

        process.on_event = strike
        try:
            if act is not None:
                await asyncio.wait_for(process.run(act(process.app)), 5)
            await self.clock.sleep(seconds)
        except (KilledError, TimeoutError):
            assert not process.is_alive
        process.on_event = lambda _: None
        found = await process.run(look(process.app)) if process.is_alive else None
        await process.kill()
        self.image = process.image
        process.close()
        return found


async def look(app):
    runs = await app.store.read(list_runs)
    async with app.session():
        parcels = [one.order for one in await db.query(Parcel)]
    left = await app.store.read(lambda tx: open_children(tx, 1))
    parent = await app.store.read(lambda tx: show_run(tx, 1))
    return Counter((one.handler, one.status) for one in runs), sorted(parcels), left, parent


async def begin(app):
    async with app.session():
        await send("tree.wanted", {})


async def cancel(app):
    await app.runtime.cancel(1)


def lived(story):
    with asyncio.Runner(loop_factory=_loop) as runner:
        return runner.run(story)


def _loop():
    loop = SeededLoop(1)
    loop.set_task_factory(task_factory)
    return loop


def check_whole(found):
    runs, parcels, left, parent = found
    assert runs == {
        ("tree", "done"): 1, ("branch", "done"): 1, ("leaf", "done"): 2, ("broken", "dead"): 1,
    }  # fmt: skip
    assert parcels == ["begun", "branch", "leaf 1", "leaf 2", "tree [11, 5, 2, -1]"]
    assert left == []
    assert parent.summary.status == "done"


@pytest.mark.slow
def test_death_after_any_commit():
    async def story(number):
        lives = Lives(tree, branch, leaf, broken)
        await lives.live(0, act=begin)
        whole = await lives.live(30, dies_after=number)
        check_whole(whole or await lives.live(30))
        return whole is not None

    died = 0
    while not lived(story(died + 1)):
        died += 1
    assert died > 20  # the walk is no walk otherwise


@pytest.mark.parametrize("every", [2, 3, 5])
def test_death_again_and_again(every):
    async def story():
        lives = Lives(tree, branch, leaf, broken)
        await lives.live(0, act=begin)
        for _ in range(60):
            # The start of a process commits, too: each life gets somewhere.
            await lives.live(3, dies_after=every + 6)
        check_whole(await lives.live(30))

    lived(story())


@on("nap.wanted", retry=PATIENT)
async def nap(event: Event) -> None:
    await step("weigh", weigh, 1, undo=give_back)
    await step.sleep("300 days")


async def give_back(number: int) -> None:
    await send("given.back", {"number": number})


@on("middle.wanted", retry=PATIENT)
async def middle(event: Event) -> None:
    await step("weigh", weigh, 2, undo=give_back)
    await step.gather(step.run(nap, key=1), step.run(nap, key=2))


@on("tree.wanted", retry=PATIENT)
async def trunk(event: Event) -> None:
    await step("weigh", weigh, 3, undo=give_back)
    await step.run(middle)


@on("given.back")
async def keep(event: Event) -> None:
    await db.create(Parcel, order=f"back {event.payload['number']}")


@pytest.mark.slow
def test_death_after_any_commit_of_a_cancellation():
    async def story(number):
        lives = Lives(trunk, middle, nap, keep)
        await lives.live(30, act=begin)
        whole = await lives.live(30, dies_after=number, act=cancel)
        runs, _, _, _ = whole or await lives.live(30)
        if runs["trunk", "waiting"]:  # it died before the request was committed
            await lives.live(30, act=cancel)
        runs, parcels, left, _ = await lives.live(30)
        assert {one: n for one, n in runs.items() if one[0] != "keep"} == {
            ("trunk", "cancelled"): 1, ("middle", "cancelled"): 1, ("nap", "cancelled"): 2,
        }  # fmt: skip
        assert parcels == ["back 1", "back 1", "back 2", "back 3"]
        assert left == []
        return whole is not None

    died = 0
    while not lived(story(died + 1)):
        died += 1
    assert died > 10
