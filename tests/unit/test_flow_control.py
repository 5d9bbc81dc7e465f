"""Flow control: how many at a time, how often, after what quiet, in lists, one by one, in turn."""

import asyncio
import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from dovetail import Event, on, send, step
from dovetail.entities import Order
from dovetail.errors import PermanentError, TransientError
from dovetail.runtime.dead_letter import list_dead
from dovetail.runtime.flow import Batching, Concurrency, Debounce, Throttle
from dovetail.runtime.history import count_by_status
from dovetail.testing.app import running_app
from dovetail.testing.loop import run


def loop_time():
    return asyncio.get_running_loop().time()


async def sent(app, *keys, tenant="default", type="thing.happened", **payload):
    async with app.session(tenant):
        for n, key in enumerate(keys):
            await send(type, {"n": n, **payload}, key=key)


async def idle(app):
    async with asyncio.timeout(100_000):
        await app.runtime.wait_idle()


async def counts(app):
    return await app.store.read(count_by_status)


def most_at_once(spans):
    return max(sum(a <= t < b for a, b in spans) for t, _ in spans)


async def test_runs_of_one_key_are_limited_and_others_are_not():
    spans = {"eu": [], "us": []}

    @on("thing.happened", concurrency=Concurrency(2, key=lambda event: event.payload["region"]))
    async def handle(event: Event) -> None:
        began = loop_time()
        await asyncio.sleep(10)
        spans[event.payload["region"]].append((began, loop_time()))

    async with running_app(handle) as app:
        await sent(app, *(f"e{n}" for n in range(8)), region="eu")
        await sent(app, *(f"u{n}" for n in range(2)), region="us")
        await idle(app)

    assert most_at_once(spans["eu"]) == 2
    assert len(spans["eu"]) == 8
    assert most_at_once(spans["us"]) == 2
    assert spans["us"][0][0] == spans["eu"][0][0]


async def test_a_limit_without_a_key_is_one_of_the_handler():
    spans = []

    @on("thing.happened", concurrency=3)
    async def handle(event: Event) -> None:
        began = loop_time()
        await asyncio.sleep(1)
        spans.append((began, loop_time()))

    async with running_app(handle) as app:
        await sent(app, *(f"a{n}" for n in range(5)), tenant="acme")
        await sent(app, *(f"b{n}" for n in range(5)), tenant="globex")
        await idle(app)

    assert most_at_once(spans) == 3


async def test_a_throttle_lets_so_many_start_in_any_window():
    starts = []

    @on("thing.happened", throttle="10/minute")
    async def handle(event: Event) -> None:
        starts.append(loop_time())

    async with running_app(handle) as app:
        await sent(app, *(f"k{n}" for n in range(35)))
        await idle(app)

    assert_never_more(starts, 10, 60)
    assert 180 <= starts[-1] - starts[0] < 182, "and no slower than it has to be"


async def test_each_key_of_each_tenant_has_a_rate_of_its_own():
    starts = {}

    @on("thing.happened", throttle=Throttle(1, per="minute", key=lambda event: event.payload["to"]))
    async def handle(event: Event) -> None:
        starts.setdefault((event.business_id, event.payload["to"]), []).append(loop_time())

    async with running_app(handle) as app:
        began = loop_time()
        for tenant in ("acme", "globex"):
            for to in ("ada", "bob"):
                await sent(app, f"{to}1", f"{to}2", tenant=tenant, to=to)
        await idle(app)

    assert len(starts) == 4
    for first, second in starts.values():
        assert first - began < 1
        assert 60 <= second - first < 61


async def test_a_throttle_outlives_a_restart(tmp_path):
    starts = []

    @on("thing.happened", throttle="5/hour")
    async def handle(event: Event) -> None:
        starts.append(app.ports.clock.now())

    database = tmp_path / "app.db"
    async with running_app(handle, database=database) as app:
        await sent(app, *(f"k{n}" for n in range(8)))
        await asyncio.sleep(60)
        assert len(starts) == 5
        stopped = app.ports.clock.now()
    async with running_app(handle, database=database, start=stopped + timedelta(minutes=1)) as app:
        await asyncio.sleep(1800)
        assert len(starts) == 5
        await idle(app)

    assert len(starts) == 8
    assert starts[5] - starts[0] >= timedelta(hours=1)


def assert_never_more(starts, limit, per_s):
    for first, last in zip(starts, starts[limit:], strict=False):
        assert last - first >= per_s


@examples(max_examples=25, deadline=None)
@given(
    limit=st.integers(1, 150),
    per_s=st.integers(1, 120),
    gaps=st.lists(st.tuples(st.floats(0, 40), st.integers(1, 60)), min_size=1, max_size=8),
)
def test_no_window_ever_holds_more_starts_than_the_throttle_allows(limit, per_s, gaps):
    async def body():
        starts = []

        @on("thing.happened", throttle=Throttle(limit, per=timedelta(seconds=per_s)))
        async def handle(event: Event) -> None:
            starts.append(loop_time())

        async with running_app(handle) as app:
            for gap, count in gaps:
                await sent(app, *(f"{loop_time()}-{n}" for n in range(count)))
                await asyncio.sleep(gap)
            await idle(app)

        assert len(starts) == sum(count for _, count in gaps)
        assert_never_more(starts, limit, per_s)

    run(body())


async def test_a_burst_is_one_run_with_its_latest_event_once_it_is_quiet():
    seen = []

    @on("thing.happened", debounce="5 seconds")
    async def handle(event: Event) -> None:
        seen.append((event.payload["n"], loop_time()))

    async with running_app(handle) as app:
        began = loop_time()
        for n in range(4):
            await sent(app, "a", n=n)
            await asyncio.sleep(3)
        await idle(app)
        assert await counts(app) == {"done": 4}

    ((n, at),) = seen
    assert n == 3
    assert 14 <= at - began < 14.5


async def test_what_is_never_quiet_is_served_after_the_longest_wait():
    seen = []

    @on("thing.happened", debounce=Debounce("5 seconds", max_wait="20 seconds"))
    async def handle(event: Event) -> None:
        seen.append(loop_time())

    async with running_app(handle) as app:
        began = loop_time()
        for _ in range(30):
            await sent(app, "a")
            await asyncio.sleep(2)
        await idle(app)

    assert 19 <= seen[0] - began <= 21
    assert all(later - earlier <= 26 for earlier, later in itertools.pairwise(seen))


@examples(max_examples=30, deadline=None)
@given(gaps=st.lists(st.floats(0, 20), min_size=1, max_size=25), quiet=st.integers(2, 10))
def test_a_debounced_run_comes_after_quiet_or_the_longest_wait_and_sees_the_latest(gaps, quiet):
    max_wait = 3 * quiet

    async def body():
        came, runs = [], []

        @on(
            "thing.happened",
            debounce=Debounce(timedelta(seconds=quiet), timedelta(seconds=max_wait)),
        )
        async def handle(event: Event) -> None:
            runs.append((loop_time(), event.payload["n"]))

        async with running_app(handle) as app:
            for n, gap in enumerate(gaps):
                came.append(loop_time())
                await sent(app, "a", n=n)
                await asyncio.sleep(gap)
            await idle(app)

        served = -1
        for at, n in runs:
            waiting = came[served + 1 : n + 1]
            assert waiting, "each run serves something new"
            is_quiet = at - came[n] >= quiet - 0.1
            assert is_quiet or at - waiting[0] >= max_wait - 0.1
            assert at - waiting[0] <= max_wait + 0.1
            assert not any(came[n] < later < at - 0.1 for later in came), "nothing later had come"
            served = n
        assert served == len(gaps) - 1

    run(body())


async def test_a_batch_is_a_list_of_entities_in_order_when_there_are_enough_or_it_is_time():
    lists = []

    @on(Order.created, batch=Batching(3, within="10 seconds"))
    async def handle(orders: list[Order]) -> None:
        lists.append(([order.number for order in orders], loop_time()))

    async with running_app(handle) as app:
        began = loop_time()
        async with app.session():
            for n in range(5):
                await send("order.created", {"number": str(n)}, key=f"k{n}")
        await idle(app)

    assert [numbers for numbers, _ in lists] == [["0", "1", "2"], ["3", "4"]]
    assert lists[0][1] - began < 1
    assert 9.9 <= lists[1][1] - began < 11


async def test_a_list_holds_events_of_one_tenant_and_one_key():
    lists = []

    @on("thing.happened", batch=Batching(10, key=lambda event: event.payload["to"]))
    async def handle(events: list[Event]) -> None:
        lists.append({(event.business_id, event.payload["to"]) for event in events})

    async with running_app(handle) as app:
        for tenant in ("acme", "globex"):
            for to in ("ada", "bob"):
                await sent(app, "1", "2", tenant=tenant, to=to)
        await idle(app)

    assert len(lists) == 4
    assert all(len(one) == 1 for one in lists)


async def test_one_bad_event_takes_no_other_of_its_list_along():
    done = []

    @on("thing.happened", batch=10)
    async def handle(events: list[Event]) -> None:
        if any(event.payload["n"] == 3 for event in events):
            raise PermanentError("number three")
        done.extend(event.payload["n"] for event in events)

    async with running_app(handle) as app:
        await sent(app, *(f"k{n}" for n in range(6)))
        await idle(app)
        (letter,) = await app.store.read(list_dead)

    assert sorted(done) == [0, 1, 2, 4, 5]
    assert letter.event.payload["n"] == 3


async def test_a_list_that_fails_for_now_is_tried_again_as_a_list():
    lists = []

    @on("thing.happened", batch=10)
    async def handle(events: list[Event]) -> None:
        lists.append([event.payload["n"] for event in events])
        await send("all.done", {})
        if len(lists) == 1:
            raise TransientError("not yet")

    async with running_app(handle) as app:
        await sent(app, *(f"k{n}" for n in range(4)))
        await idle(app)
        assert await counts(app) == {"done": 4}

    assert lists == [[0, 1, 2, 3]] * 2


async def test_a_step_in_a_batch_handler_is_refused_with_advice():
    @on("thing.happened", batch=10)
    async def handle(events: list[Event]) -> None:
        await step("look", len, events)

    async with running_app(handle) as app:
        await sent(app, "a")
        await idle(app)
        (letter,) = await app.store.read(list_dead)

    assert "Send an event for each item" in letter.error["message"]


async def test_a_key_function_that_fails_parks_the_event_and_not_the_worker():
    seen = []

    @on("thing.happened", throttle=Throttle(1, "second", key=lambda event: event.payload["to"]))
    async def handle(event: Event) -> None:
        seen.append(event.key)

    async with running_app(handle) as app:
        await sent(app, "bad")
        await sent(app, "good", to="ada")
        await idle(app)
        (letter,) = await app.store.read(list_dead)

    assert seen == ["good"]
    assert "key function" in letter.error["message"]
