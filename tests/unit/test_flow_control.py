"""Flow control: how many at a time, how often, after what quiet, in lists, one by one, in turn."""

import asyncio
import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from dovetail import App, Event, on, send, step
from dovetail.app.load import program_of
from dovetail.core.settings import Settings
from dovetail.entities import Order
from dovetail.errors import DeclarationError, PermanentError, TransientError
from dovetail.runtime.dead_letter import list_dead
from dovetail.runtime.flow import Batching, Concurrency, Debounce, Singleton, Throttle
from dovetail.runtime.history import count_by_status
from dovetail.runtime.retry import Retry
from dovetail.service.handlers import collect
from dovetail.testing.app import IN_MEMORY, make_module, running_app, seeded_ports
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


async def test_a_singleton_queues_what_comes_meanwhile_tenant_by_tenant():
    spans = {"acme": [], "globex": []}

    @on("thing.happened", singleton=True)
    async def handle(event: Event) -> None:
        began = loop_time()
        await asyncio.sleep(10)
        spans[event.business_id].append((began, loop_time(), event.payload["n"]))

    async with running_app(handle) as app:
        for tenant in spans:
            await sent(app, "a", "b", "c", tenant=tenant)
        await idle(app)

    for of_tenant in spans.values():
        assert [n for _, _, n in of_tenant] == [0, 1, 2]
        assert most_at_once([(a, b) for a, b, _ in of_tenant]) == 1
    assert spans["acme"][0][0] == spans["globex"][0][0]


async def test_a_singleton_that_skips_drops_what_comes_meanwhile_and_says_so():
    seen = []

    @on("thing.happened", singleton="skip")
    async def handle(event: Event) -> None:
        seen.append(event.payload["at"])
        await asyncio.sleep(10)

    async with running_app(handle) as app:
        for at in (0, 4, 8, 12):
            await sent(app, f"k{at}", at=at)
            await asyncio.sleep(4)
        await idle(app)
        assert await counts(app) == {"done": 2, "discarded": 2}

    assert seen == [0, 12]


async def test_a_skipping_singleton_that_waits_for_another_try_is_going_on():
    seen = []

    @on("thing.happened", singleton=Singleton("skip"), retry=Retry(schedule=("1 minute",)))
    async def handle(event: Event) -> None:
        seen.append(event.payload["at"])
        if len(seen) == 1:
            raise TransientError("not yet")

    async with running_app(handle) as app:
        await sent(app, "a", at=0)
        await asyncio.sleep(30)
        await sent(app, "b", at=30)
        await idle(app)

    assert seen == [0, 0]


async def test_a_high_priority_gets_more_turns_and_a_low_one_some():
    order = []

    def of(name, priority):
        @on("thing.happened", priority=priority)
        async def handle(event: Event) -> None:
            await asyncio.sleep(1)
            order.append(name)

        handle.__qualname__ = name
        return handle

    program = program_of(make_module(of("low", "low"), of("high", "high")))
    few = Settings(database=IN_MEMORY, concurrency=16)
    app = App(program, settings=few, ports=seeded_ports())
    await app.start(serve=False)
    await sent(app, *(f"k{n}" for n in range(90)))
    await idle(app)
    await app.stop()

    first = order[:90]
    assert first.count("high") > 4 * first.count("low")
    assert first.count("low") >= 5, "but it never starves"


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


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"concurrency": 0}, "concurrency: 0 is not a number from 1"),
        ({"concurrency": True}, "concurrency: True"),
        ({"concurrency": Concurrency}, "concurrency: <class"),
        ({"throttle": "often"}, "'often' is no rate"),
        ({"throttle": "0/minute"}, "throttle: 0"),
        ({"throttle": "10/blue moon"}, "throttle: .* is not a duration"),
        ({"throttle": 10}, "10 is no rate"),
        ({"debounce": "0 seconds"}, "debounce: .* more than zero"),
        ({"batch": 1}, "a size of 1 gathers nothing"),
        ({"batch": 20_000}, "batch: 20000"),
        ({"singleton": "drop"}, "neither 'queue'"),
        ({"priority": "urgent"}, "'urgent' is none of 'high', 'normal', 'low'"),
        ({"priority": 0}, "0 is none of"),
        ({"debounce": "5s", "batch": 5}, "debounce and batch cannot go together"),
        ({"debounce": "5s", "singleton": True}, "debounce and singleton cannot"),
        ({"batch": 5, "singleton": "skip"}, "batch and singleton cannot"),
        ({"concurrency": 2, "singleton": "queue"}, "concurrency and singleton cannot"),
        ({"batch": 5, "throttle": Throttle(1, "1s", key=str)}, "throttle with a key"),
        ({"batch": 5, "concurrency": Concurrency(1, key=str)}, "concurrency with a key"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_declared(options, part):
    with pytest.raises(DeclarationError, match=part):
        on("thing.happened", **options)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Debounce("1 minute", max_wait="30 seconds"), "shorter than the quiet time"),
        (lambda: Throttle(1, "minute", key="to"), "is no function"),
        (lambda: Batching(5, within="soon"), "batch: 'soon' is not a duration"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(make, part):
    with pytest.raises(DeclarationError, match=part):
        make()


def test_a_batch_needs_a_list_and_a_list_needs_a_batch():
    @on("thing.happened", batch=5)
    async def single(event: Event) -> None: ...

    @on("thing.happened")
    async def several(events: list[Event]) -> None: ...

    @on("thing.happened", batch=5)
    async def nothing() -> None: ...

    for function, part in ((single, "as a list"), (several, "batch=100"), (nothing, "takes one")):
        with pytest.raises(DeclarationError, match=part):
            collect(make_module(function))
