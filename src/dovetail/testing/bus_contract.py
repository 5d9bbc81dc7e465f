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


FLOW = ("handle", "acme")


def make_delivery(
    number: int, *, key: str = "k", handler: str = "handle", business_id: str = "acme"
) -> Delivery:
    """Return a delivery with this number."""
    event = Event(
        id=f"event-{number}",
        type="thing.happened",
        key=key,
        business_id=business_id,
        source="test",
        payload={"n": number},
        occurred_at=datetime(2026, 3, 1, tzinfo=UTC),
        seq=number,
    )
    return Delivery(id=number, handler=handler, event=event, due_at=0)


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
        bus.leave([FLOW], 1, 3)
        (want,) = bus.wants()
        assert (want.flow, want.after) == (FLOW, 1)
        bus.fill(want, [make_delivery(2), make_delivery(3)], 3)
        assert [one.id for one in await bus.receive(10)] == [1, 2, 3]
        assert not bus.is_behind
        bus.offer(4, 4, [make_delivery(4)])
        assert [one.id for one in await bus.receive(10)] == [4]

    async def test_an_overlapping_offer_carries_nothing_twice(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 2, [make_delivery(1), make_delivery(2)])
        bus.offer(1, 3, [make_delivery(n) for n in (1, 2, 3)])
        assert [one.id for one in await bus.receive(10)] == [1, 2, 3]

    async def test_what_does_not_fit_is_left_until_there_is_room(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 2 * CAPACITY, [make_delivery(n) for n in range(1, 2 * CAPACITY + 1)])
        assert bus.position == 2 * CAPACITY
        behind = asyncio.create_task(bus.wait_behind())
        await asyncio.sleep(0)
        assert not behind.done(), "no room yet: a sweep now would be for nothing"
        carried = await bus.receive(2 * CAPACITY)
        assert 0 < len(carried) < CAPACITY, "a flow alone does not get everything"
        bus.settle(carried)
        await asyncio.wait_for(behind, 5)
        (want,) = bus.wants()
        assert want.after == carried[-1].id
        found = [make_delivery(n) for n in range(want.after + 1, want.after + want.most + 1)]
        bus.fill(want, found, None)
        later = await bus.receive(CAPACITY)
        assert [one.id for one in later] == [one.id for one in found]
        bus.offer(2 * CAPACITY + 1, 2 * CAPACITY + 1, [make_delivery(2 * CAPACITY + 1)])
        assert bus.is_behind, "what comes later does not overtake what was left"

    async def test_one_flow_leaves_room_for_another(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 50, [make_delivery(n) for n in range(1, 51)])
        carried = await bus.receive(50)
        bus.offer(51, 51, [make_delivery(51, business_id="globex")])
        bus.offer(52, 52, [make_delivery(52, handler="other")])
        assert [one.id for one in await bus.receive(10)] == [51, 52]
        assert len(carried) < CAPACITY

    async def test_even_with_no_room_at_all_a_new_flow_gets_one_place(self) -> None:
        bus = self.make_bus()
        for n in range(1, 101):
            bus.offer(n, n, [make_delivery(n, business_id=f"tenant-{n}")])
        assert len(await bus.receive(200)) == 100

    async def test_what_ended_while_the_sweep_read_is_not_carried_again(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 50, [make_delivery(n) for n in range(1, 51)])
        carried = await bus.receive(50)
        bus.settle(carried)
        bus.redeliver([make_delivery(3)])  # older than what is read next: read again
        (want,) = bus.wants()
        assert want.after == 2
        found = [make_delivery(n) for n in range(3, 3 + want.most)]
        bus.redeliver([make_delivery(60, business_id="globex")])
        (other,) = await bus.receive(1)
        bus.settle([other])
        bus.fill(want, found, None)
        received = [one.id for one in await bus.receive(50)]
        assert received == sorted(set(received))
        assert 60 not in received

    async def test_redelivery_takes_old_numbers_once(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 5, [])
        bus.redeliver([make_delivery(2)])
        received = await bus.receive(10)
        assert [one.id for one in received] == [2]
        bus.settle(received)
        bus.redeliver([make_delivery(2)])
        assert [one.id for one in await bus.receive(10)] == [2]

    async def test_what_is_due_again_before_it_is_settled_is_carried_afterwards(self) -> None:
        bus = self.make_bus()
        bus.offer(1, 1, [make_delivery(1)])
        (first,) = await bus.receive(10)
        bus.redeliver([make_delivery(1)])  # it was put off, and the time is over already
        bus.settle([first])
        assert [one.id for one in await bus.receive(10)] == [1]

    async def test_closing_wakes_the_receiver_with_nothing(self) -> None:
        bus = self.make_bus()
        waiting = asyncio.create_task(bus.receive(10))
        await asyncio.sleep(0)
        await bus.close()
        assert await waiting == []
