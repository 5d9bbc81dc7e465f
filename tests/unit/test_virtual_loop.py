"""The virtual-time loop that the other tests stand on."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dovetail.core.clock import LoopClock
from dovetail.testing.loop import DeadlockError, run


async def test_a_day_passes_at_once():
    clock, started = LoopClock(), time.monotonic()
    before = clock.now()
    await clock.sleep(86_400)
    assert (clock.now() - before).total_seconds() == pytest.approx(86_400)
    assert time.monotonic() - started < 5


async def test_timers_fire_in_order():
    seen = []

    async def after(delay):
        await asyncio.sleep(delay)
        seen.append(delay)

    await asyncio.gather(after(3600), after(1), after(60))
    assert seen == [1, 60, 3600]


async def test_time_stands_still_while_a_thread_works():
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        work = loop.run_in_executor(pool, time.sleep, 0.02)
        timer = asyncio.create_task(asyncio.sleep(0.001))
        await work
        assert loop.time() < 1
        await timer


def test_waiting_for_nothing_is_told():
    async def forever():
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError):
        run(forever())
