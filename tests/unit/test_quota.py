"""The quota of an account under load: lanes, groups of limits, headers, workers that share it."""

import asyncio
import contextlib
import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.connector_sdk.lane import Lane, current_lane, lane
from dovetail.connector_sdk.limits import MemoryBudgetStore, StoredBudget
from dovetail.connector_sdk.spec import ConcurrencyLimit, RateLimit
from dovetail.core.clock import LoopClock
from dovetail.errors import RateLimitedError
from dovetail.testing.loop import run

BURST = RateLimit("burst", 100, per_s=10, setting="burst_limit")
SEARCH = RateLimit("search", 5, per_s=1, path="*/search")
DAILY = RateLimit("daily", 250_000, per_s=86_400)


def left_in(headers):
    return {name[5:]: int(text) for name, text in headers.items() if name.startswith("left-")}


def size_in(headers):
    return {name[5:]: int(text) for name, text in headers.items() if name.startswith("size-")}


def new_workers(count, *limits, **options):
    store, clock = MemoryBudgetStore(), LoopClock()
    return [
        StoredBudget(
            store=store,
            account="acme:1",
            limits=limits or (BURST, SEARCH, DAILY),
            clock=clock,
            remaining_header=left_in,
            size_header=size_in,
            **options,
        )
        for _ in range(count)
    ]


class Platform:
    """Counts calls as they arrive, in windows that slide, and refuses those above a limit."""

    def __init__(self, *limits):
        self.windows = {limit: deque() for limit in limits}
        self.rng = random.Random(5)
        self.refused = 0
        self.arrived = []

    def rate(self, since):
        """Return whole windows' worth of calls over the time they took, whatever their rhythm."""
        times = [at for at, _ in self.arrived if at >= since]
        whole = (len(times) - 1) // BURST.limit * BURST.limit
        return whole / (times[whole] - times[0])

    async def call(self, budget, path):
        await budget.acquire(path)
        await asyncio.sleep(self.rng.uniform(0.02, 0.11))
        now = asyncio.get_running_loop().time()
        counted = [limit for limit in self.windows if limit.path == "*" or path.endswith("/search")]
        for limit in counted:
            window = self.windows[limit]
            while window and window[0] <= now - limit.per_s:
                window.popleft()
            if len(window) >= limit.limit:
                self.refused += 1
        for limit in counted:
            self.windows[limit].append(now)
        self.arrived.append((now, path))
        headers = {"left-burst": str(BURST.limit - len(self.windows[BURST]))}
        await asyncio.sleep(self.rng.uniform(0.02, 0.11))
        await budget.observe(path, 200, headers)


async def load(budget, platform, path, wanted, until, callers=20):
    async def caller():
        with lane(wanted):
            while asyncio.get_running_loop().time() < until:
                await platform.call(budget, path)

    await asyncio.gather(*(caller() for _ in range(callers)))


async def test_eight_workers_use_nearly_all_of_the_quota_and_are_never_refused():
    platform = Platform(BURST)
    workers = new_workers(8)
    begun = asyncio.get_running_loop().time()

    lanes = [Lane.LIVE, Lane.USER, *[Lane.BACKFILL] * 6]
    await asyncio.gather(
        *(load(one, platform, "/a", lanes[n], begun + 300) for n, one in enumerate(workers))
    )

    assert platform.refused == 0
    assert platform.rate(begun + 20) >= 0.95 * BURST.limit / BURST.per_s


@pytest.mark.parametrize("lanes", [[Lane.BACKFILL], [Lane.LIVE], [Lane.RECONCILE, Lane.BACKFILL]])
async def test_whoever_is_alone_gets_all_of_it(lanes):
    platform = Platform(BURST)
    begun = asyncio.get_running_loop().time()

    await asyncio.gather(
        *(
            load(one, platform, "/a", lanes[n % len(lanes)], begun + 200)
            for n, one in enumerate(new_workers(8))
        )
    )

    assert platform.refused == 0
    assert platform.rate(begun + 20) >= 0.95 * BURST.limit / BURST.per_s


async def test_searches_and_other_calls_of_eight_workers_keep_both_limits():
    platform = Platform(BURST, SEARCH)
    begun = asyncio.get_running_loop().time()
    workers = new_workers(8)

    await asyncio.gather(
        *(load(one, platform, "/a", Lane.LIVE, begun + 100, 5) for one in workers),
        *(load(one, platform, "/x/search", Lane.LIVE, begun + 100, 5) for one in workers),
    )

    assert platform.refused == 0
    assert platform.rate(begun + 20) >= 0.95 * BURST.limit / BURST.per_s


async def wait_of(budget, wanted, path="/a"):
    begun = asyncio.get_running_loop().time()
    with lane(wanted):
        await budget.acquire(path)
    return asyncio.get_running_loop().time() - begun


async def test_a_change_does_not_wait_behind_a_first_sync():
    platform = Platform(BURST)
    backfill, live = new_workers(2)
    begun = asyncio.get_running_loop().time()
    busy = asyncio.create_task(load(backfill, platform, "/a", Lane.BACKFILL, begun + 120, 200))
    await asyncio.sleep(30)

    waits = []
    for _ in range(80):
        waits.append(await wait_of(live, Lane.LIVE))
        await asyncio.sleep(0.5)
    await busy

    assert sorted(waits)[len(waits) // 2] < 0.2
    assert max(waits) < 2.5
    assert platform.refused == 0


async def test_a_lane_below_leaves_what_the_one_above_used_in_the_last_window():
    limit = RateLimit("burst", 20, per_s=10)
    (budget,) = new_workers(1, limit)
    for _ in range(12):
        await wait_of(budget, Lane.LIVE)
    await asyncio.sleep(11)

    begun = asyncio.get_running_loop().time()
    for _ in range(10):
        await wait_of(budget, Lane.BACKFILL)
    assert asyncio.get_running_loop().time() - begun < 10
    await asyncio.sleep(10 - (asyncio.get_running_loop().time() - begun))
    assert [await wait_of(budget, Lane.LIVE) for _ in range(10)] == [0.0] * 10


async def test_nobody_starves():
    limit = RateLimit("burst", 5, per_s=1)
    platform = Platform(BURST)
    live, backfill = new_workers(2, limit)
    busy = asyncio.create_task(load(live, platform, "/a", Lane.LIVE, 60, 30))
    await asyncio.sleep(1)

    waits = [await wait_of(backfill, Lane.BACKFILL) for _ in range(5)]
    await busy

    assert max(waits) < 15


async def test_a_first_sync_leaves_a_part_of_the_day_to_what_happens_later():
    limit = RateLimit("daily", 100, per_s=86_400)
    (budget,) = new_workers(1, limit)
    used = {}
    for wanted in (Lane.BACKFILL, Lane.RECONCILE, Lane.USER, Lane.LIVE):
        used[wanted] = await taken_at_once(budget, wanted)

    # The first sync takes a quarter of the day's quota in a quarter of the day.
    assert used == {Lane.BACKFILL: 25, Lane.RECONCILE: 65, Lane.USER: 7, Lane.LIVE: 3}


async def taken_at_once(budget, wanted):
    taken = 0
    with lane(wanted), contextlib.suppress(RateLimitedError):
        while True:
            await budget.acquire("/a")
            taken += 1
    return taken


async def test_a_refused_search_stops_searches_only():
    (budget,) = new_workers(1)
    await budget.pause(30, path="/x/search")

    assert await wait_of(budget, Lane.LIVE, "/a") == 0
    assert await wait_of(budget, Lane.LIVE, "/x/search") == pytest.approx(30, abs=0.01)


async def test_the_limit_that_the_platform_names_is_the_one_that_is_paused():
    (budget,) = new_workers(1)
    await budget.pause(30, path="/a", limit="search")
    assert await wait_of(budget, Lane.LIVE, "/a") == 0

    await budget.pause(20, path="/x/search", limit="burst")
    assert await wait_of(budget, Lane.LIVE, "/a") == pytest.approx(20, abs=0.01)


async def test_pauses_without_advice_grow_until_a_call_gets_through():
    (budget,) = new_workers(1)
    waits = []
    for _ in range(8):
        await budget.pause(None)
        waits.append(await wait_of(budget, Lane.LIVE))
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.02)

    await asyncio.sleep(61)
    await budget.pause(None)
    assert await wait_of(budget, Lane.LIVE) == pytest.approx(1, abs=0.02)


async def test_a_larger_plan_that_the_headers_tell_is_used_by_every_worker():
    first, second = new_workers(2)
    await first.observe("/a", 200, {"size-burst": "190", "left-burst": "190"})

    waits = [await wait_of(second, Lane.LIVE) for _ in range(190)]
    assert max(waits) == 0
    assert await wait_of(second, Lane.LIVE) > 9


async def test_a_smaller_plan_too_and_a_setting_stays_the_most():
    (budget,) = new_workers(1)
    await budget.observe("/a", 200, {"size-burst": "3"})
    assert [await wait_of(budget, Lane.LIVE) for _ in range(3)] == [0, 0, 0]
    assert await wait_of(budget, Lane.LIVE) > 9

    (budget,) = new_workers(1, settings={"burst_limit": 2})
    await budget.observe("/a", 200, {"size-burst": "190"})
    assert [await wait_of(budget, Lane.LIVE) for _ in range(2)] == [0, 0]
    assert await wait_of(budget, Lane.LIVE) > 9


async def test_quota_that_others_give_back_is_used_again():
    (budget,) = new_workers(1)
    await budget.acquire("/a")
    await budget.observe("/a", 200, {"left-burst": "0"})
    await budget.observe("/a", 200, {"left-burst": "90"})

    waits = [await wait_of(budget, Lane.LIVE) for _ in range(80)]

    assert max(waits) == 0


async def test_only_so_many_calls_are_on_their_way_at_once():
    places = ConcurrencyLimit("concurrent", 3, hold_s=30)
    workers = new_workers(4, BURST, concurrency=(places,))
    now = most = 0

    async def call(budget):
        nonlocal now, most
        ticket = await budget.acquire("/a")
        now += 1
        most = max(most, now)
        await asyncio.sleep(1)
        now -= 1
        await budget.release(ticket)

    await asyncio.gather(*(call(one) for one in workers for _ in range(5)))
    assert most == 3

    for _ in range(3):
        await workers[0].acquire("/a")  # and the worker dies
    assert await wait_of(workers[1], Lane.LIVE) == pytest.approx(30, abs=0.5)


async def test_the_lane_follows_the_work():
    async def inner():
        return current_lane()

    assert await inner() is Lane.LIVE
    with lane(Lane.RECONCILE):
        assert await asyncio.create_task(inner()) is Lane.RECONCILE
    assert await inner() is Lane.LIVE


actions = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(list(Lane)), st.sampled_from(["/a", "/x/search"])),
    st.tuples(st.just("left"), st.integers(0, 12)),
    st.tuples(st.just("pause"), st.floats(0, 2), st.sampled_from(["/a", "/x/search"])),
)


@settings(max_examples=60, deadline=None)
@given(
    workers=st.lists(
        st.lists(st.tuples(st.floats(0, 1.5), actions), max_size=25), min_size=1, max_size=4
    )
)
def test_no_window_is_ever_exceeded_whatever_happens_between(workers):
    limits = (
        RateLimit("burst", 8, per_s=2),
        RateLimit("search", 2, per_s=1, path="*/search"),
        RateLimit("slow", 20, per_s=30),
    )
    left: list[tuple[float, str]] = []

    async def main():
        loop = asyncio.get_running_loop()

        async def call(budget, wanted, path):
            with lane(wanted):
                await budget.acquire(path)
            left.append((loop.time(), path))

        async def work(budget, script):
            calls = []
            for gap, (what, *facts) in script:
                await asyncio.sleep(gap)
                if what == "call":
                    calls.append(asyncio.create_task(call(budget, *facts)))
                elif what == "left":
                    await budget.observe("/a", 200, {"left-burst": str(facts[0])})
                else:
                    await budget.pause(facts[0], path=facts[1])
            await asyncio.gather(*calls)

        budgets = new_workers(len(workers), *limits)
        await asyncio.gather(*(work(*pair) for pair in zip(budgets, workers, strict=True)))

    run(main())

    for limit in limits:
        times = sorted(at for at, path in left if limit.path == "*" or path.endswith("/search"))
        for first, at in enumerate(times):
            later = times[first + limit.limit : first + limit.limit + 1]
            assert all(one - at > limit.per_s - 1e-6 for one in later)
