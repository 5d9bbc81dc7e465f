"""Flow control: singletons, priorities, and what is refused where it is declared."""

import asyncio

import pytest

from dovetail import App, Event, on, send
from dovetail.app.load import program_of
from dovetail.core.settings import Settings
from dovetail.errors import DeclarationError, TransientError
from dovetail.runtime.flow import Batching, Concurrency, Debounce, Singleton, Throttle
from dovetail.runtime.handler import HandlerSpec
from dovetail.runtime.history import count_by_status
from dovetail.runtime.retry import Retry
from dovetail.runtime.turn import FEW, HandlerQueue, Places
from dovetail.service.handlers import collect
from dovetail.testing.app import IN_MEMORY, make_module, running_app, seeded_ports


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


def filled(places, queue):
    """Take every place that one tenant of one handler gets; return how many."""
    taken = 0
    while places.are_free(queue) and places.tenant_check(queue)("acme"):
        places.take(queue)
        queue.running += 1
        queue.running_of["acme"] = taken = taken + 1
    for _ in range(taken):
        places.give_back(queue)
    queue.running, queue.running_of = 0, {}
    return taken


def test_there_are_more_places_while_runs_begin_at_once_and_few_when_they_begin_late():
    places = Places(1_000)
    queue = HandlerQueue(HandlerSpec(name="handle", patterns=("*",), call=None))
    assert filled(places, queue) == FEW // 2

    for _ in range(5_000):
        places.began_after(0.01)
    assert filled(places, queue) == 500

    places.began_after(0.5)
    assert filled(places, queue) == 250
    for _ in range(100):
        places.began_after(0.5)
    assert filled(places, queue) == FEW // 2


def test_there_are_never_more_places_than_the_setting_says():
    places = Places(16)
    queue = HandlerQueue(HandlerSpec(name="handle", patterns=("*",), call=None))

    for late_s in (0.0, 0.5, 0.0, 0.5, 0.0):
        places.began_after(late_s)
        assert filled(places, queue) == 8
