"""
What every Bus must do.

Subclass it and give `make_bus`::

    class TestLocalBus(BusContract):
        def make_bus(self) -> Bus:
            return LocalBus(capacity=10)
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from datetime import UTC, datetime

from dovetail.model.event import Event
from dovetail.runtime.bus.port import Bus
from dovetail.runtime.delivery import Delivery

CAPACITY = 10


def make_delivery(number: int, *, key: str = "k") -> Delivery:
    """Return a delivery with this number."""
    event = Event(
        id=f"event-{number}",
        type="thing.happened",
        key=key,
        business_id="acme",
        source="test",
        payload={"n": number},
        occurred_at=datetime(2026, 3, 1, tzinfo=UTC),
        seq=number,
    )
    return Delivery(id=number, handler="handle", event=event, due_at=0)


class BusContract(ABC):
    """The contract; every test makes a bus of its own."""

    @abstractmethod
    def make_bus(self) -> Bus:
        """Return a new bus with room for ten deliveries."""

    async def test_what_is_offered_is_received_in_order(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 3, [make_delivery(n) for n in (1, 2, 3)])
        assert [one.id for one in await bus.receive(10)] == [1, 2, 3]
        assert bus.position == 3

    async def test_receive_waits_and_takes_no_more_than_asked(self) -> None:
        bus = self.make_bus()
        waiting = asyncio.create_task(bus.receive(2))
        await asyncio.sleep(0)
        assert not waiting.done()
        bus.offer(1, 3, [make_delivery(n) for n in (1, 2, 3)])
        assert [one.id for one in await waiting] == [1, 2]
        assert [one.id for one in await bus.receive(2)] == [3]

    async def test_a_gap_is_left_to_the_sweep_and_then_closed(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 1, [make_delivery(1)])
        bus.offer(3, 3, [make_delivery(3)])  # 2 was committed by another process
        assert bus.position == 1
        await asyncio.wait_for(bus.wait_behind(), 5)
        bus.offer(2, 3, [make_delivery(2), make_delivery(3)])
        assert [one.id for one in await bus.receive(10)] == [1, 2, 3]

    async def test_an_overlapping_offer_carries_nothing_twice(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 2, [make_delivery(1), make_delivery(2)])
        bus.offer(1, 3, [make_delivery(n) for n in (1, 2, 3)])
        assert [one.id for one in await bus.receive(10)] == [1, 2, 3]

    async def test_what_does_not_fit_is_left_until_there_is_room(self) -> None:
        bus = self.make_bus()
        first = [make_delivery(n) for n in range(1, CAPACITY + 1)]
        bus.offer(1, CAPACITY, first)
        late = CAPACITY + 1
        bus.offer(late, late, [make_delivery(late)])
        assert bus.position == CAPACITY
        assert bus.room == 0
        behind = asyncio.create_task(bus.wait_behind())
        await asyncio.sleep(0)
        assert not behind.done(), "no room yet: a sweep now would be for nothing"
        received = await bus.receive(CAPACITY)
        bus.settle(received)
        await asyncio.wait_for(behind, 5)
        bus.offer(late, late, [make_delivery(late)])
        assert [one.id for one in await bus.receive(10)] == [late]

    async def test_redelivery_takes_old_numbers_once(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 5, [])
        bus.redeliver([make_delivery(2)])
        bus.redeliver([make_delivery(2)])
        received = await bus.receive(10)
        assert [one.id for one in received] == [2]
        bus.settle(received)
        bus.redeliver([make_delivery(2)])
        assert [one.id for one in await bus.receive(10)] == [2]

    async def test_closing_wakes_the_receiver_with_nothing(self) -> None:
        bus = self.make_bus()
        waiting = asyncio.create_task(bus.receive(10))
        await asyncio.sleep(0)
        await bus.close()
        assert await waiting == []
