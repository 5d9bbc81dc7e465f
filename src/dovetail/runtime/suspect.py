"""
Deliveries that may kill the process: counted before they run, run alone, and parked in the end.

    a process dies            its row in ``lives`` stays behind
    the next one starts       whatever was open before it is suspect: each start is noted first
    a noted one is found      it was running when a process died: such run one after the other,
                              those with the fewest deaths first, so that the next death has a name
    enough are noted          (`Retry.deaths`) it is made a dead letter instead of being run

A delivery that was made by this process, or found open by one whose predecessor stopped in order,
is not noted: the ordinary path writes nothing more than it must.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import sqlalchemy as sa

from dovetail.core.clock import Clock, to_micros
from dovetail.core.ids import derive_id
from dovetail.errors import RetriesExhaustedError
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.lane import Lane
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import OPEN, SCHEDULED, deliveries, lives, sequences


class Suspects:
    """
    Knows which deliveries are suspect, and lets those that were running at a death run alone.

    Args:
        store: Where starts are noted.
        clock: Time.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._life = ""
        self._up_to = 0
        self._noted: set[int] = set()
        self._held: list[tuple[int, int, Lane]] = []
        self._alone: Lane | None = None

    async def begin(self) -> None:
        """Note that this process lives, and see whether the last one died."""
        now = self._clock.now()
        self._life = derive_id(now, "life")
        self._up_to = await self._store.write(lambda tx: _begin(tx, self._life, to_micros(now)))

    async def end(self) -> None:
        """Note that this process stops in order; what it did not finish is no suspect for it."""
        noted = list(self._noted)

        def work(tx: Tx) -> None:
            tx.run(sa.delete(lives).where(lives.c.id == self._life))
            _forget(tx, noted)

        await self._store.write(work)

    def among(self, taken: Sequence[Sequence[Delivery]]) -> list[Delivery]:
        """Return those that must be noted before they run; hardly ever any."""
        if not self._up_to:
            return []
        return [
            delivery
            for lane in taken
            for delivery in lane
            if delivery.id <= self._up_to and not delivery.fresh
        ]

    async def note(self, starting: Sequence[Delivery]) -> None:
        """Note durably that these are about to run."""
        ids = [delivery.id for delivery in starting]
        self._noted.update(ids)
        for delivery in starting:
            delivery.starts += 1
        await self._store.write_each(_note_starts, ids)

    async def clear(self, ran: Sequence[Delivery]) -> None:
        """Note that these have run and the process lives."""
        ids = [delivery.id for delivery in ran]
        for delivery in ran:
            delivery.starts = 0
        self._noted.difference_update(ids)
        await self._store.write(lambda tx: _forget(tx, ids))

    def hold(self, lane: Lane) -> bool:
        """Return whether a lane whose head ran at a death has to wait for others of its kind."""
        if self._alone is None:
            self._alone = lane
            return False
        head = lane.waiting[0]
        heapq.heappush(self._held, (head.starts, head.id, lane))
        return True

    def let_go(self, lane: Lane) -> Lane | None:
        """Note that a lane that ran alone has run; return the next one."""
        if self._alone is not lane:
            return None
        self._alone = heapq.heappop(self._held)[2] if self._held else None
        return self._alone


def too_many_deaths(
    suspects: Sequence[Delivery], most: int
) -> list[tuple[Delivery, RetriesExhaustedError]]:
    """Return those that have killed too often, with the error to park them with."""
    return [
        (
            one,
            RetriesExhaustedError(
                f"The process died {one.starts} times while {one.handler} ran this event. Look at "
                "the process's memory and at what the handler calls, then replay it with "
                f"`dovetail dead replay {one.id}`.",
                handler=one.handler,
            ),
        )
        for one in suspects
        if one.starts >= most
    ]


def _begin(tx: Tx, life: str, began_at: int) -> int:
    died = tx.run(sa.delete(lives))
    tx.run(sa.insert(lives).values(id=life, began_at=began_at))
    if not died:
        return 0
    following = tx.scalar(sa.select(sequences.c.next).where(sequences.c.name == "deliveries"))
    return int(following or 1) - 1


_NOTE = (
    sa.update(deliveries)
    .where(deliveries.c.id == sa.bindparam("delivery"))
    .values(starts=deliveries.c.starts + 1)
)


def _note_starts(tx: Tx, starting: list[list[int]]) -> list[None]:
    tx.run(_NOTE, [{"delivery": one} for ids in starting for one in ids])
    return [None] * len(starting)


def _forget(tx: Tx, ids: Sequence[int]) -> None:
    for first in range(0, len(ids), 500):
        tx.run(
            sa.update(deliveries)
            .where(
                deliveries.c.id.in_(ids[first : first + 500]),
                deliveries.c.status.in_((OPEN, SCHEDULED)),
            )
            .values(starts=0)
        )
