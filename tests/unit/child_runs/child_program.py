"""Handlers that are child runs in the tests beside this, and how the tests look at runs."""

from decimal import Decimal

from dovetail import Entity, Event, on, send
from dovetail.errors import (
    PermanentError,
)
from dovetail.runtime.runs import list_runs, show_run


class Parcel(Entity):
    order: str = ""
    weight: Decimal | None = None


async def placed(app, *keys, **fields):
    async with app.session():
        for key in keys or ("o1",):
            await send("order.placed", {"order": key, **fields}, key=key)
    await settled(app)


async def settled(app):
    """Wait until nothing is open, and whoever that has woken has had its turn."""
    calm = 0
    while calm < 3:
        await app.runtime.wait_idle()
        await app.ports.clock.sleep(0.1)
        calm = calm + 1 if await app.runtime.open_count() == 0 else 0


async def shown(app, run_id=1):
    return await app.store.read(lambda tx: show_run(tx, run_id))


async def statuses(app):
    found = await app.store.read(list_runs)
    return {one.id: (one.handler.rpartition(".")[2], one.status) for one in reversed(found)}


def told(view):
    return [(one.what, one.detail) for one in view.timeline]


@on("pack.wanted")
async def pack(parcel: Parcel) -> Parcel:
    return Parcel(order=parcel.order, weight=Decimal("1.50"))


@on("label.wanted")
async def label(event: Event) -> str:
    return f"label of {event.payload['order']}"


def charging(state):
    @on("charge.wanted")
    async def charge(event: Event) -> str:
        state.setdefault("tries", []).append(event.payload)
        if state.get("broken"):
            raise PermanentError("the card is blocked")
        return "receipt"

    return charge
