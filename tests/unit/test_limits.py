"""Rate limits: no window is ever exceeded, and little of the quota is lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.connector_sdk.limits import MemoryBudgetStore, StoredBudget
from dovetail.connector_sdk.spec import RateLimit
from dovetail.connector_sdk.window import WindowState, correct, take
from dovetail.core import json
from dovetail.core.clock import LoopClock
from dovetail.errors import RateLimitedError

START = 1_772_355_600.0


def most_in_any_window(moments, per_s):
    """Count with two pointers; a hair is taken off the window for the rounding of floats."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] > per_s - 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(
    limit=st.integers(1, 40),
    per_s=st.sampled_from([0.5, 1.0, 10.0, 86_400.0]),
    gaps=st.lists(st.floats(0, 0.4), min_size=1, max_size=200),
)
def test_no_window_ever_holds_more_calls_than_the_limit(limit, per_s, gaps):
    state, now, moments = WindowState(), START, []
    for gap in gaps:
        now += gap * per_s
        while (wait := take(state, limit, per_s, now)) > 0:
            now += wait
        moments.append(now)

    assert most_in_any_window(moments, per_s) <= limit


@given(limit=st.integers(1, 200), per_s=st.sampled_from([1.0, 10.0, 60.0]))
def test_a_caller_that_never_rests_gets_nearly_all_of_the_quota(limit, per_s):
    state, now = WindowState(), START
    for _ in range(limit * 20):
        while (wait := take(state, limit, per_s, now)) > 0:
            now += wait

    # limit * 20 calls need at least 19 whole windows. Of a second, a tenth is left to travel.
    share = 0.95 if per_s >= 10 else 0.89
    assert (now - START) <= 19 * per_s / share + per_s / 20 + 0.1


@given(n=st.integers(1, 10), limit=st.integers(10, 20))
def test_what_was_refused_leaves_the_window_as_it_was(n, limit):
    state = WindowState()
    assert take(state, limit, 10, START, limit) == 0

    assert take(state, limit, 10, START, n) > 0
    assert state.used() == limit


def test_more_calls_than_the_limit_can_never_be_taken_together():
    with pytest.raises(ValueError, match="never fit"):
        take(WindowState(), 5, 1, START, 6)


def test_a_pause_holds_every_call_until_it_ends():
    state = WindowState(paused_until=START + 30)

    assert take(state, 5, 1, START) == 30
    assert take(state, 5, 1, START + 30) == 0


def test_the_state_survives_json():
    state = WindowState()
    take(state, 5, 1, START, 3)

    assert json.convert(json.decode(json.encode(state)), WindowState) == state


def test_a_clock_set_back_by_hours_does_not_stop_the_account():
    state = WindowState()
    take(state, 5, 10, START, 5)

    assert take(state, 5, 10, START - 7200) <= 10.5 + 0.001


def test_calls_of_others_are_counted_and_forgotten_but_none_of_ours_are_given_back():
    state = WindowState()
    take(state, 100, 10, START, 10)

    correct(state, 40, 100, 10, START)
    assert state.used() == 60
    correct(state, 95, 100, 10, START)
    assert (state.used(), state.used_by_others()) == (15, 5)
    correct(state, 100, 100, 10, START)
    assert state.used() == 10, "the platform may not have seen ours yet"


BURST = RateLimit("burst", 10, per_s=10, setting="burst_limit")
SEARCH = RateLimit("search", 2, per_s=1, path="*/search")


def new_budget(**options):
    options = {"store": MemoryBudgetStore(), "limits": [BURST, SEARCH], **options}
    return StoredBudget(account="hubspot:1", clock=options.pop("clock", LoopClock()), **options)


async def times_of(budget, paths):
    loop, moments = asyncio.get_running_loop(), []

    async def call(path):
        await budget.acquire(path)
        moments.append((path, loop.time()))

    await asyncio.gather(*(call(path) for path in paths))
    return moments


async def test_a_call_counts_against_every_limit_of_its_path():
    moments = await times_of(new_budget(), ["/x/search"] * 12)

    times = [at for _, at in moments]
    assert most_in_any_window(times, 1) == 2
    assert most_in_any_window(times, 10) == 10


async def test_two_workers_share_one_budget():
    store, clock = MemoryBudgetStore(), LoopClock()
    workers = [new_budget(store=store, clock=clock) for _ in range(2)]

    found = await asyncio.gather(*(times_of(worker, ["/a"] * 15) for worker in workers))

    assert most_in_any_window(sorted(at for one in found for _, at in one), 10) == 10


async def test_waiters_leave_in_the_order_in_which_they_came():
    paths = [f"/{number}" for number in range(35)]

    assert [path for path, _ in await times_of(new_budget(), paths)] == paths


async def test_a_slow_limit_does_not_hold_up_calls_that_it_does_not_concern():
    moments = await times_of(new_budget(), ["/x/search"] * 5 + ["/a"])

    assert moments.index(next(one for one in moments if one[0] == "/a")) <= 2


async def test_a_setting_of_the_connection_overrides_a_limit():
    moments = await times_of(new_budget(settings={"burst_limit": "19"}), ["/a"] * 19)

    assert moments[-1][1] == moments[0][1]


async def test_a_pause_holds_the_account_and_a_shorter_one_does_not_end_it():
    budget = new_budget()
    loop = asyncio.get_running_loop()
    begun = loop.time()

    await budget.pause(60)
    await budget.pause(1)
    await budget.acquire("/a")

    assert loop.time() - begun == pytest.approx(60, abs=0.01)


async def test_headers_that_tell_of_others_slow_us_down():
    budget = new_budget(remaining_header=lambda headers: {"burst": int(headers["left"])})
    await budget.acquire("/a")
    await budget.observe("/a", 200, {"left": "1"})

    times = [at for _, at in await times_of(budget, ["/a"] * 2)]

    assert times[1] - times[0] > 9


async def test_a_caller_does_not_hold_its_place_for_a_day():
    clock = LoopClock()
    limits = (RateLimit("daily", 2, per_s=86_400),)
    budget = StoredBudget(store=MemoryBudgetStore(), account="a:1", limits=limits, clock=clock)
    await budget.acquire("/x")
    await budget.acquire("/x")

    with pytest.raises(RateLimitedError) as caught:
        await budget.acquire("/x")

    assert 80_000 < caught.value.retry_after_s < 95_000
