"""Sends what people order or ask to see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dovetail.errors import DovetailError
from dovetail.service.context import send
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.testing.simulation.account import ONLOOKER
from dovetail.testing.simulation.errand import Sending
from dovetail.testing.simulation.people import Side
from dovetail.testing.simulation.process import KilledError, Process
from dovetail.testing.simulation.shop import Shop, SimulatedAudit, SimulatedOrder
from dovetail.testing.simulation.terms import Quota
from dovetail.testing.simulation.trace import Trace
from dovetail.testing.simulation.world import Edit

_AUDITED = 150


async def place(
    edit: Edit,
    process: Process,
    sides: Sequence[Side],
    quotas: Sequence[Quota],
    shop: Shop,
    trace: Trace,
) -> None:
    """
    Send an order or an audit to the app, if it is there.

    Args:
        edit: Of one of these kinds.
        process: The app.
        sides: Of the first tenant, one of which an audit looks at.
        quotas: The sides that are short of calls.
        shop: Remembers what was ordered, and what the app confirmed.
        trace: Where it is noted.
    """
    if not process.is_alive:
        return
    numbers: list[str] = []
    placed: list[Sending]
    more: list[Sending] = []
    who = DEFAULT_TENANT
    if edit.kind == "audit":
        side = sides[edit.side % len(sides)]
        told: dict[str, Any] = {
            "platform": side.name,
            "people": [one.id for one in side.records()][:_AUDITED],
        }
        shared = [one for one in quotas if one.shared and one.burst is not None]
        if shared and edit.seed % 4:
            # Another business that shares an account, with more calls than a window has.
            side = sides[shared[0].side % len(sides)]
            told = {"platform": side.name, "readings": 2 * (shared[0].burst or 0)}
            who = ONLOOKER
        placed = [Sending(SimulatedAudit.asked, told, {})]
    else:
        numbers = [f"N{edit.seed}.{n}" for n in range(5 if edit.seed % 4 == 0 else 1)]
        placed = [Sending(SimulatedOrder.placed, {"number": one}, {}) for one in numbers]
        more = shop.workshop.draw(edit.seed)
    shop.asked.update(numbers)

    async def send_all() -> None:
        async with process.app.session(who):
            for event_type, told, options in placed + more:
                await send(event_type, told, **options)

    try:
        await process.run(send_all())
    except (DovetailError, KilledError) as error:
        trace.add(f"{edit.kind} {numbers} failed: {type(error).__name__}")
        return
    shop.confirmed.update(numbers)
    shop.workshop.confirmed.update(one.options["key"] for one in more)
    trace.add(f"{edit.kind} {numbers} placed")
