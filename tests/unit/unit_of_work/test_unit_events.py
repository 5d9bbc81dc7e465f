"""Events: what is sent, and what the records themselves tell."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
import sqlalchemy as sa

from dovetail.core.clock import from_micros
from dovetail.entities import (
    Contact,
    Fulfillment,
    Order,
    OrderItem,
    SyncActivity,
)
from dovetail.errors import (
    ConfigError,
)
from dovetail.runtime.store.schema import SCHEDULED, deliveries
from dovetail.runtime.unit import increment


async def test_lifecycle_events_and_sent_events_are_logged_in_the_order_of_the_calls(world_of):
    async with world_of() as world:
        unit = world.unit()
        contact = await unit.create(Contact, id="c", first_name="Ada", total_spent="1.50")
        sent = await unit.send("welcome.sent", contact_id="c")
        contact = await unit.update(contact, phone="1")
        await unit.update(contact, phone="1")
        await unit.create(SyncActivity, id="s")
        await unit.send(Fulfillment.create, order_id="o", items=[OrderItem(sku="a", quantity=2)])
        await unit.delete(contact)
        await world.commit(unit)

        logged = await world.events()

        assert [event.type for event in logged] == [
            "contact.created",
            "welcome.sent",
            "contact.updated",
            "fulfillment.create",
            "contact.deleted",
        ]
        created, welcome, updated, fulfill, deleted = logged
        assert {event.source for event in logged} == {"handler:test"}
        assert {event.caused_by for event in logged} == {"cause"}
        assert {event.business_id for event in logged} == {"acme"}
        assert created.key == updated.key == deleted.key == "c"
        assert created.payload["total_spent"] == "1.50"
        assert (updated.payload["phone"], updated.payload["version"]) == ("1", 2)
        assert (welcome.id, welcome.payload) == (sent, {"contact_id": "c"})
        assert welcome.key == sent
        assert fulfill.payload["business_id"] == "acme"
        assert fulfill.payload["items"][0]["quantity"] == 2
        assert msgspec.convert(created.payload, Contact).first_name == "Ada"
        assert len(world.bus.offered) == 5


async def test_sending_an_entity_sends_its_fields(world_of):
    async with world_of() as world:
        unit = world.unit()
        order = Order(id="o", total=Decimal("9.90"), placed_at=datetime(2026, 1, 1, tzinfo=UTC))
        await unit.send(Order.created, order, status="open")
        await unit.send(Order.updated, {"id": "o", "total": {"increment": 1}}, key="k")
        await unit.send(Order.updated, total_spent=increment(Decimal("2.5")))
        await world.commit(unit)

        first, second, third = await world.events()
        assert first.key == "o"
        assert first.payload["total"] == "9.90"
        assert first.payload["status"] == "open"
        assert first.payload["placed_at"] == "2026-01-01T00:00:00.000000Z"
        assert second.key == "k"
        assert second.payload["total"] == {"increment": 1}
        assert third.payload["total_spent"] == {"increment": "2.5"}


@pytest.mark.parametrize("delay", ["2 days", timedelta(days=2)])
async def test_a_delayed_event_is_scheduled(world_of, delay):
    async with world_of() as world:
        unit = world.unit()
        await unit.send("drip.next", delay=delay)
        await world.commit(unit)

        [row] = await world.store.read(lambda tx: tx.rows(sa.select(deliveries)))
        assert row.status == SCHEDULED
        assert from_micros(row.due_at) == world.clock.now() + timedelta(days=2)
        assert world.bus.offered == []


async def test_nothing_is_sent_or_written_without_a_commit(world_of):
    async with world_of() as world:
        unit = world.unit()
        await unit.create(Contact, id="c")
        await unit.send("x")

        assert await world.events() == []
        assert await world.unit().count(Contact) == 0


async def test_a_delay_that_is_no_duration_is_refused(world_in_memory):
    async with world_in_memory() as world:
        with pytest.raises(ConfigError, match="not a duration"):
            await world.unit().send("x", delay="soonish")
