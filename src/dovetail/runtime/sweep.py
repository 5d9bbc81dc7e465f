"""
The sweep: brings what is open in the store to the bus, when nobody else does.

    behind   what the bus left for want of room, flow by flow; what it was never told of (a start,
             other processes)
    due      what was scheduled for later and is due now

Every query is served by an index whose size is the backlog of what it looks for: a walk along the
flows takes one step for each flow, reading a flow on costs what is read.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.runtime.bus.port import Bus, Flow
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.log import event_of
from dovetail.runtime.patience import Patience
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import (
    OPEN,
    deliveries,
    events,
    run_states,
    sequences,
    steps,
)

# How often to look for what other processes wrote; where there are none, only to be safe.
_LOOK_EVERY_S = 1.0
_LOOK_ALONE_S = 3600.0
_WAKE_AT_ONCE = 500


class Sweep:
    """
    Two loops that keep the bus supplied.

    Args:
        store: Where deliveries live.
        bus: Where they go.
        patience: What knows whether the store refuses.
        clock: Time.
    """

    def __init__(self, *, store: Store, bus: Bus, patience: Patience, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._patience = patience
        self._clock = clock
        self._scheduled = asyncio.Event()
        self._has_looked = asyncio.Event()
        self._look_every_s = _LOOK_EVERY_S if store.is_shared else _LOOK_ALONE_S

    def look_at_schedule(self) -> None:
        """Note that a delivery was scheduled for later."""
        self._scheduled.set()

    async def keep_up(self) -> None:
        """Offer what the bus was not told of, and what it has room for by now; for ever."""
        while True:
            await self._patience.insist(self._look)
            more = True
            while more:
                more = await self._patience.insist(self._fill)
            self._has_looked.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._bus.wait_behind()
            self._bus.look_again()

    def _pause_s(self) -> float:
        return min(self._look_every_s, _LOOK_EVERY_S) if self._bus.is_behind else self._look_every_s

    async def _look(self) -> None:
        position = self._bus.position
        up_to = await self._store.read(last_number)
        if up_to > position:
            up_to, flows = await self._store.read(open_flows)
            self._bus.leave(flows, position, up_to)

    async def _fill(self) -> bool:
        wants = self._bus.wants()
        for want in wants:
            up_to, found = await self._store.read(
                partial(open_of_flow, want.flow, want.after, want.most)
            )
            self._bus.fill(want, found, up_to if len(found) < want.most else None)
        return bool(wants)

    async def wake_due(self) -> None:
        """Open what was scheduled, when it is due; for ever."""
        # What came due while nothing ran is younger than what was open: it comes after it.
        await self._has_looked.wait()
        while True:
            self._scheduled.clear()
            due_at = await self._patience.insist(partial(self._store.read, next_due))
            now = to_micros(self._clock.now())
            if due_at is not None and due_at <= now:
                wake = partial(wake_due, now, _WAKE_AT_ONCE, self._bus)
                await self._patience.insist(partial(self._store.write, wake))
                continue
            wait_s = self._look_every_s
            if due_at is not None:
                wait_s = min(wait_s, (due_at - now) / 1_000_000)
            with suppress(TimeoutError):
                async with asyncio.timeout(max(wait_s, 0.001)):
                    await self._scheduled.wait()


_COLUMNS = (
    deliveries.c.id.label("delivery_id"),
    deliveries.c.handler,
    deliveries.c.attempt,
    deliveries.c.due_at,
    deliveries.c.history,
    deliveries.c.starts,
    # Looked up for a thousand at once: asking for each run alone costs more than running it.
    sa.or_(
        sa.exists().where(steps.c.delivery_id == deliveries.c.id),
        sa.exists().where(run_states.c.delivery_id == deliveries.c.id),
    ).label("has_journal"),
    *events.c,
)
_JOINED = sa.select(*_COLUMNS).join(events, events.c.seq == deliveries.c.event_seq)
# Literals, so that the partial indexes serve them.
_IS_OPEN = sa.text("deliveries.status = 0")
_IS_SCHEDULED = sa.text("deliveries.status = 2")

_LAST_NUMBER = sa.select(sequences.c.next).where(sequences.c.name == "deliveries")
_NEXT_FLOW = (
    sa.select(deliveries.c.handler, deliveries.c.business_id)
    .where(
        _IS_OPEN,
        sa.tuple_(deliveries.c.handler, deliveries.c.business_id)
        > sa.tuple_(sa.bindparam("handler"), sa.bindparam("business_id")),
    )
    .order_by(deliveries.c.handler, deliveries.c.business_id)
    .limit(1)
)
_OF_FLOW = (
    _JOINED.where(
        _IS_OPEN,
        deliveries.c.handler == sa.bindparam("wanted_handler"),
        deliveries.c.business_id == sa.bindparam("wanted_business"),
        deliveries.c.id > sa.bindparam("after"),
    )
    .order_by(deliveries.c.id)
    .limit(sa.bindparam("count"))
)
_NEXT_DUE = sa.select(sa.func.min(deliveries.c.due_at)).where(_IS_SCHEDULED)
_DUE = (
    _JOINED.where(_IS_SCHEDULED, deliveries.c.due_at <= sa.bindparam("now"))
    .order_by(deliveries.c.due_at, deliveries.c.id)
    .limit(sa.bindparam("count"))
)
_WAKE = sa.update(deliveries).where(deliveries.c.id == sa.bindparam("delivery")).values(status=OPEN)


def last_number(tx: Tx) -> int:
    """Return the highest number that a delivery has."""
    following = tx.scalar(_LAST_NUMBER)
    return int(following or 1) - 1


def open_flows(tx: Tx) -> tuple[int, list[Flow]]:
    """Return the highest number, and every flow that has something open."""
    up_to = last_number(tx)
    flows: list[Flow] = []
    handler = business_id = ""
    while True:
        row = tx.first(_NEXT_FLOW, {"handler": handler, "business_id": business_id})
        if row is None:
            return up_to, flows
        handler, business_id = row.handler, row.business_id
        flows.append((handler, business_id))


def open_of_flow(flow: Flow, after: int, count: int, tx: Tx) -> tuple[int, list[Delivery]]:
    """Return the highest number, and what of a flow is open beyond *after*, oldest first."""
    # The number first: whatever commits between the two statements is beyond it.
    up_to = last_number(tx)
    rows = tx.rows(
        _OF_FLOW,
        {
            "wanted_handler": flow[0],
            "wanted_business": flow[1],
            "after": after,
            "count": count,
        },
    )
    return up_to, [_delivery(row) for row in rows]


def next_due(tx: Tx) -> int | None:
    """Return when the next scheduled delivery is due."""
    found = tx.scalar(_NEXT_DUE)
    return int(found) if found is not None else None


def wake_due(now: int, count: int, bus: Bus, tx: Tx) -> None:
    """Open what is due, the longest overdue first, and tell the bus once that is durable."""
    due = [_delivery(row) for row in tx.rows(_DUE, {"now": now, "count": count})]
    tx.run(_WAKE, [{"delivery": delivery.id} for delivery in due])
    if due:
        tx.after_commit(lambda: bus.redeliver(due))


def _delivery(row: sa.Row[Any]) -> Delivery:
    return Delivery(
        id=row.delivery_id,
        handler=row.handler,
        event=event_of(row),
        due_at=row.due_at,
        attempt=row.attempt,
        history=json.decode(row.history) if row.history else [],
        starts=row.starts,
        blank=not row.has_journal,
    )
