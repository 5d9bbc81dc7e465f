"""Sends what people order or ask to see."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.errors import DovetailError
from dovetail.service.context import send
from dovetail.testing.simulation.errand import Sending
from dovetail.testing.simulation.people import Side
from dovetail.testing.simulation.process import KilledError, Process
from dovetail.testing.simulation.shop import Shop, SimulatedAudit, SimulatedOrder
from dovetail.testing.simulation.trace import Trace
from dovetail.testing.simulation.world import Edit

_AUDITED = 150


async def place(
    edit: Edit, process: Process, sides: Sequence[Side], shop: Shop, trace: Trace
) -> None:
    """
    Send an order or an audit to the app, if it is there.

    Args:
        edit: Of one of these kinds.
        process: The app.
        sides: Of the first tenant, one of which an audit looks at.
        shop: Remembers what was ordered, and what the app confirmed.
        trace: Where it is noted.
    """
    if not process.is_alive:
        return
    numbers: list[str] = []
    placed: list[Sending]
    more: list[Sending] = []
    if edit.kind == "audit":
        side = sides[edit.side % len(sides)]
        people = [record.id for record in side.records()]
        told = {"platform": side.name, "people": people[:_AUDITED]}
        placed = [Sending(SimulatedAudit.asked, told, {})]
    else:
        numbers = [f"N{edit.seed}.{n}" for n in range(5 if edit.seed % 4 == 0 else 1)]
        placed = [Sending(SimulatedOrder.placed, {"number": one}, {}) for one in numbers]
        more = shop.workshop.draw(edit.seed)
    shop.asked.update(numbers)

    async def send_all() -> None:
        async with process.app.session():
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
