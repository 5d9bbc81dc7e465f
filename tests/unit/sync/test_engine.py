"""The engine on the real runtime: dispatcher, batches, coalescing, retries."""

from __future__ import annotations

import pytest

from dovetail.errors import UsageError
from dovetail.runtime.engine import Runtime
from dovetail.sync.plan import Plans


async def test_the_runtime_brings_three_platforms_into_agreement(bench):
    b = await bench().start(("a", {"unique": True}), ("b", {"lag_s": 4.0}), ("c", {}))
    for number in range(120):
        b["a"].add(First="A", Last="L", Email=f"{number}@x.com")
    for number in range(60, 180):
        b["b"].add(First="B", Last="L", Email=f"{number}@x.com")
    b["c"].lost_answers = 2
    b["a"].refused_calls = 1
    runtime = Runtime(
        store=b.store, bus=b.bus, log=b.log, handlers=b.engine.handlers(), ports=b.ports
    )
    runtime.start()
    for _ in range(3):
        await b.clock.sleep(10)
        await b.engine.request_poll()
        await runtime.wait_idle()
    held = b.values()
    status = await b.engine.status()
    await runtime.stop()

    assert len(held["a"]) == 180
    assert held["a"] == held["b"] == held["c"]
    assert status.is_settled
    assert [one.links for one in status.spokes] == 3 * [{"active": 180}]
    # 180 creates in batches of 20, and what the two lost answers cost.
    assert b["c"].calls.count("write") <= 20
    await b.close()


async def test_every_spoke_that_is_read_is_scheduled(bench):
    b = await bench().start(("a", {}), ("b", {}))

    names = [poll.name for poll in b.engine.polls()]

    assert names == ["sync.poll:crm:contact:a", "sync.poll:crm:contact:b"]
    assert {poll.interval_s for poll in b.engine.polls()} == {60.0}
    await b.close()


async def test_one_connection_cannot_belong_to_two_integrations(bench):
    b = await bench().start(("a", {}))

    with pytest.raises(UsageError, match="Two integrations sync contact"):
        Plans([b.plan, b.plan])
    await b.close()
