"""A small program beside the sync whose effects can be counted: orders, parcels, receipts."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from dovetail.core.clock import Clock
from dovetail.errors import ConnectorError
from dovetail.model.entity import Entity
from dovetail.model.event import EventName
from dovetail.service.context import db, platform, send, step
from dovetail.service.handlers import on
from dovetail.testing.simulation.workshop import Workshop


class SimulatedOrder(Entity):
    """What a person orders."""

    number: str = ""
    placed = EventName()
    shipped = EventName()


class SimulatedAudit(Entity):
    """Somebody wants to see many records of one platform at once, or to read all that often."""

    platform: str = ""
    people: list[str] = []
    readings: int = 0
    asked = EventName()


class SimulatedShipment(Entity):
    """What the handler of an order wrote."""

    __emits__ = False
    number: str = ""


class SimulatedReceipt(Entity):
    """What the handler of a shipped order wrote."""

    __emits__ = False
    number: str = ""


class Shop:
    """
    The handlers, and the outside world that they act on.

    Args:
        clock: How long a parcel takes.
        workshop: More handlers, of runs that take minutes and of flow control.
    """

    def __init__(self, clock: Clock, workshop: Workshop) -> None:
        self.workshop = workshop
        self.parcels: Counter[str] = Counter()
        self.confirmed: set[str] = set()
        self.asked: set[str] = set()
        self.repeated: list[str] = []
        self.readings: list[tuple[str, int]] = []
        """Platform and number of the readings at once that came to their end."""
        self._clock = clock

    async def send_parcel(self, number: str) -> str:
        """Send a parcel: an effect that nobody can take back."""
        self.parcels[number] += 1
        if self.workshop.is_recorded("parcel"):
            self.repeated.append(number)
        await self._clock.sleep(0.2)
        return f"parcel {number}"

    def handlers(self) -> tuple[Callable[..., Any], ...]:
        """Return the handlers."""

        @on(SimulatedOrder.placed)
        async def ship_simulated(order: SimulatedOrder) -> None:
            parcel: str = await step("parcel", self.send_parcel, order.number)
            await db.create(SimulatedShipment, number=order.number)
            await send(SimulatedOrder.shipped, number=order.number, id=order.id)
            # A second look at the outside world, so that a run can end between two steps.
            await step("look", self._look, parcel)

        @on(SimulatedOrder.shipped)
        async def receipt_simulated(order: SimulatedOrder) -> None:
            await db.create(SimulatedReceipt, number=order.number)

        @on(SimulatedAudit.asked)
        async def audit_simulated(audit: SimulatedAudit) -> None:
            contacts = platform(audit.platform).contacts

            async def look(id: str) -> None:
                # What is gone or cannot be had now is left out of the audit.
                with contextlib.suppress(ConnectorError):
                    await contacts.get(id)

            async def read() -> None:
                with contextlib.suppress(ConnectorError):
                    async for _ in contacts.changes():
                        break

            await asyncio.gather(*(look(id) for id in audit.people))
            await asyncio.gather(*(read() for _ in range(audit.readings)))
            if audit.readings:
                self.readings.append((audit.platform, audit.readings))

        return ship_simulated, receipt_simulated, audit_simulated, *self.workshop.handlers()

    async def _look(self, parcel: str) -> str:
        await self._clock.sleep(0.1)
        return parcel
