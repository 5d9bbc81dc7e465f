"""Rules of limits: what is declared is kept, and is no more than the platform allows."""

from __future__ import annotations

import asyncio

import pytest

from dovetail.connector_sdk.spec import Capability
from dovetail.testing.contract.reading import READ
from dovetail.testing.contract.rule import Rules, Setting

_SHORT_S = 60.0
_USUAL_CALLS = 60


class LimitingRules(Rules):
    """What the declared limits keep when much is wanted at once."""

    async def test_no_rate_limit_of_the_platform_is_exceeded(self, indoors: Setting) -> None:
        async with indoors.stand(READ, Capability.READ_MANY) as stand:
            made = await stand.seed(2)
            _, cursor = await stand.read()
            short = [one.limit for one in stand.bench.connector.limits if one.per_s <= _SHORT_S]
            calls = min(2 * max(short, default=0) + _USUAL_CALLS, 500)
            with stand.accepted("calls wait until the declared limits have room"):
                await asyncio.gather(
                    *(stand.page(cursor) for _ in range(_USUAL_CALLS)),
                    *(stand.fetch(*made) for _ in range(calls)),
                )
            for one in stand.simulator.limits:
                assert one.peak <= one.limit, (
                    f"{one.peak} calls in {one.per_s:g} s, {one.limit} are allowed ({one.name})"
                )
            statuses = {one.response.status for one in stand.exchanges if one.response}
            assert 429 not in statuses, "the platform had to refuse calls"

    async def test_no_more_calls_are_under_way_than_declared(self, indoors: Setting) -> None:
        async with indoors.stand(READ) as stand:
            declared = [one.limit for one in stand.bench.connector.concurrency]
            if not declared:
                pytest.skip(f"{indoors} declares no limit of calls under way")
            stand.faults({"kind": "latency", "seconds": 1})
            await asyncio.gather(*(stand.page() for _ in range(2 * min(declared) + 5)))
            assert stand.transport.most_under_way <= min(declared)
