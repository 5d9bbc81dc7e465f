"""Workflows: laws that hold wherever the process dies and however often a step fails."""

import os
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail import Event, Retry, now, on, send, step
from dovetail.errors import PermanentError, TransientError
from dovetail.runtime.runs import show_run
from dovetail.testing.app import START, running_app
from dovetail.testing.loop import run

EXAMPLES = settings(
    max_examples=int(os.environ.get("DOVETAIL_EXAMPLES", "12")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

PARTS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.integers(0, 2)),  # how often it fails first
        st.tuples(st.just("sleep"), st.integers(1, 20)),  # seconds
    ),
    min_size=1,
    max_size=8,
)
STOPS = st.lists(st.floats(0.01, 15), max_size=6)


class World:
    """What happened outside, and a handler that makes it happen."""

    def __init__(self, parts, *, fails=False):
        self.parts = parts
        self.done = []
        self.undone = []
        self.recorded = set()
        self.tries = {}
        self.sleeps = []

        @on("flow.began", retry=Retry(attempts=9, base_s=0.01))
        async def flow(event: Event) -> None:
            for n, (kind, arg) in enumerate(parts):
                if kind == "sleep":
                    began = now()
                    await step.sleep(arg, key=n)
                    self.sleeps.append((n, began, now()))
                else:
                    await step("do", self.do, n, arg, key=n, undo=undo)
                    self.recorded.add(n)
            if fails:
                raise PermanentError("at the end")

        async def undo(n: int) -> None:
            if self.tries.setdefault(("undo", n), 0) < n % 2:
                self.tries["undo", n] += 1
                raise TransientError("not yet")
            self.undone.append(n)

        self.flow = flow

    async def do(self, n: int, fails: int) -> int:
        assert n not in self.recorded, "a recorded step ran again"
        if self.tries.setdefault(n, 0) < fails:
            self.tries[n] += 1
            raise TransientError("not yet")
        self.done.append(n)
        return n


async def live(world, stops):
    """Run the flow to its end, stopping and starting the process at these moments."""
    with TemporaryDirectory() as folder:
        database, moment = Path(folder) / "a.db", START
        for index, length in enumerate([*stops, 400.0]):
            async with running_app(world.flow, database=database, start=moment) as app:
                if index == 0:
                    async with app.session():
                        await send("flow.began", {})
                await app.ports.clock.sleep(length)
                view = await app.store.read(lambda tx: show_run(tx, 1))
                moment = app.ports.clock.now()
            if view.summary.finished_at is not None:
                return view
    return view


@EXAMPLES
@given(PARTS, STOPS)
def test_steps_run_once_and_sleeps_never_end_early(parts, stops):
    world = World(parts)

    view = run(live(world, stops))

    assert view.summary.status == "done"
    wanted = [n for n, (kind, _) in enumerate(parts) if kind == "step"]
    assert world.done == wanted
    started = {one.key: one.started_at for one in view.journal if one.kind == "sleep"}
    ended = {}
    for n, _, end in world.sleeps:
        ended.setdefault(str(n), end)
    for n, (kind, length) in enumerate(parts):
        if kind == "sleep":
            slept = ended[str(n)] - START
            assert slept >= timedelta(microseconds=started[str(n)] - 1772355600000000) + timedelta(
                seconds=length
            )


@EXAMPLES
@given(PARTS, STOPS)
def test_compensation_is_exactly_the_reverse_of_what_was_recorded(parts, stops):
    world = World(parts, fails=True)

    view = run(live(world, stops))

    assert view.summary.status == "dead"
    assert world.undone == world.done[::-1]
