"""The unit of work: what a run reads, writes and sends, as one transaction."""

import itertools
import random
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from dovetail.core.clock import LoopClock, from_micros
from dovetail.core.ids import SeededIds
from dovetail.core.ports import InlineExecutor, Ports
from dovetail.entities import (
    Contact,
    Deal,
    Fulfillment,
    Integration,
    InventoryLevel,
    Order,
    OrderItem,
    SyncActivity,
)
from dovetail.errors import (
    ConfigError,
    RecordConflictError,
    RecordMissingError,
    UsageError,
    VersionConflictError,
)
from dovetail.model.event import Event
from dovetail.runtime.bus.port import Bus
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.handler import HandlerSpec, Subscriptions
from dovetail.runtime.log import EventLog, event_of
from dovetail.runtime.store.schema import SCHEDULED, deliveries, events, metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.runtime.unit import UnitOfWork, increment
from dovetail.testing.asgi import AsgiTransport


class FakeBus(Bus):
    """Keeps what it was offered."""

    def __init__(self) -> None:
        self.offered: list[Delivery] = []

    def offer(self, first: int, last: int, ready: Sequence[Delivery]) -> None:
        del first, last
        self.offered.extend(ready)


async def _handle(event: Event) -> None:
    del event


class World:
    """A store with a log, and units of work on them."""

    def __init__(self, path: str) -> None:
        self.clock = LoopClock()
        ids = SeededIds(self.clock, random.Random(1))
        self.ports = Ports(
            clock=self.clock,
            ids=ids,
            rng=random.Random(1),
            transport=AsgiTransport(),
            new_executor=lambda name: InlineExecutor(),
        )
        self.store = SqliteStore(path, self.ports)
        self.bus = FakeBus()
        everything = HandlerSpec(name="all", patterns=("*",), call=_handle)
        self.log = EventLog(Subscriptions([everything]), self.clock, ids, self.bus)
        self._numbers = itertools.count(1)

    def unit(self, business_id: str = "acme") -> UnitOfWork:
        return UnitOfWork(
            store=self.store,
            log=self.log,
            business_id=business_id,
            source="handler:test",
            caused_by="cause",
            clock=self.clock,
            new_id=lambda: f"id-{next(self._numbers)}",
        )

    async def commit(self, unit: UnitOfWork) -> None:
        await self.store.write(unit.apply)

    async def create(self, *made: Any) -> list[Any]:
        unit = self.unit()
        created = [await unit.create(one) for one in made]
        await self.commit(unit)
        return created

    async def events(self) -> list[Event]:
        rows = await self.store.read(lambda tx: tx.rows(sa.select(events).order_by(events.c.seq)))
        return [event_of(row) for row in rows]


@asynccontextmanager
async def opened(path: str):
    world = World(path)
    await world.store.open()
    try:
        await world.store.migrate(metadata.create_all)
        yield world
    finally:
        await world.store.close()


@pytest.fixture(params=["memory", "file"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return ":memory:" if request.param == "memory" else str(tmp_path / "unit.db")


async def test_what_a_run_writes_is_there_after_its_commit_and_not_before(path):
    async with opened(path) as world:
        unit = world.unit()
        made = await unit.create(
            Contact, first_name="Ada", last_purchase="2026-01-01T10:00:00+02:00", total_spent=5
        )
        assert unit.dirty
        with pytest.raises(RecordMissingError):
            await world.unit().get(Contact, made.id)

        await world.commit(unit)

        found = await world.unit().get(Contact, made.id)
        assert found == made
        assert (found.id, found.business_id, found.version) == ("id-1", "acme", 1)
        assert found.created_at == found.updated_at == world.clock.now()
        assert found.last_purchase == datetime(2026, 1, 1, 8, tzinfo=UTC)
        assert found.total_spent == Decimal(5)


async def test_reads_see_the_writes_of_their_own_run(path):
    async with opened(path) as world:
        names = ["a", "b", "c", "d"]
        await world.create(*(Deal(id=name, name=name, amount=Decimal(1)) for name in names))
        unit = world.unit()

        await unit.create(Deal, id="e", name="e", amount=5)
        await unit.update(Deal, "a", name="z")
        await unit.update(Deal, "b", amount=2)
        await unit.delete(Deal, "c")

        assert (await unit.get(Deal, "a")).name == "z"
        assert [one.id for one in await unit.query(Deal, order_by="name")] == ["b", "d", "e", "a"]
        assert [one.id for one in await unit.query(Deal, amount=1)] == ["a", "d"]
        assert await unit.count(Deal) == 4
        assert await unit.count(Deal, amount=1) == 2
        assert await unit.count(Deal, where={"name": {"gt": "d"}}) == 2
        assert await unit.find_one(Deal, name="c") is None
        with pytest.raises(RecordMissingError):
            await unit.get(Deal, "c")
        with pytest.raises(RecordMissingError):
            await unit.update(Deal, "c", name="x")


async def test_pages_hold_every_record_once_whatever_the_run_has_written(path):
    async with opened(path) as world:
        await world.create(*(Deal(id=f"{n:02}", name=f"n{n % 3}") for n in range(10)))
        unit = world.unit()
        for number in (1, 4, 7):
            await unit.update(Deal, f"{number:02}", name="n0")
        await unit.delete(Deal, "03")
        await unit.create(Deal, id="99", name="n1")

        everything = [one.id for one in await unit.query(Deal, order_by=["-name"])]
        paged: list[str] = []
        after = None
        while True:
            page = await unit.query(Deal, order_by=["-name"], limit=2, after=after)
            paged += [one.id for one in page]
            after = page.cursor
            if after is None:
                break

        assert paged == everything
        assert len(paged) == 10


async def test_a_result_that_is_complete_has_no_cursor(path):
    async with opened(path) as world:
        await world.create(Deal(id="1"), Deal(id="2"))
        unit = world.unit()

        assert (await unit.query(Deal, limit=2)).cursor is None
        assert (await unit.query(Deal)).cursor is None
        assert (await unit.query(Deal, limit=1)).cursor is not None


async def test_a_returned_record_is_a_copy(path):
    async with opened(path) as world:
        unit = world.unit()
        made = await unit.create(Contact, id="c", custom={"a": 1})
        made.custom["a"] = 2
        made.first_name = "changed"

        assert (await unit.get(Contact, "c")).custom == {"a": 1}
        await world.commit(unit)
        assert (await world.unit().get(Contact, "c")).first_name is None


async def test_an_instance_is_only_updated_at_the_version_it_was_read_at(path):
    async with opened(path) as world:
        await world.create(Contact(id="c"))
        stale = await world.unit().get(Contact, "c")
        other = world.unit()
        await other.update(Contact, "c", phone="1")
        await world.commit(other)

        with pytest.raises(VersionConflictError, match="read at version 1 and is at version 2"):
            await world.unit().update(stale, phone="2")
        with pytest.raises(VersionConflictError):
            await world.unit().delete(stale)


async def test_a_change_that_came_between_read_and_commit_is_found_at_the_commit(path):
    async with opened(path) as world:
        await world.create(Contact(id="c"), Contact(id="d"))
        unit = world.unit()
        contact = await unit.get(Contact, "c")
        await unit.update(contact, phone="2")
        await unit.create(Contact, id="new")
        other = world.unit()
        await other.update(Contact, "c", email="x")
        await world.commit(other)

        with pytest.raises(VersionConflictError):
            await world.commit(unit)

        after = await world.unit().get(Contact, "c")
        assert (after.phone, after.email, after.version) == (None, "x", 2)
        assert await world.unit().find_one(Contact, id="new") is None


async def test_an_unchecked_write_before_it_does_not_hide_a_stale_read(path):
    async with opened(path) as world:
        await world.create(Contact(id="c"))
        unit = world.unit()
        contact = await unit.get(Contact, "c")
        await unit.update(Contact, "c", city="Graz")
        await unit.update(contact, phone="2")
        other = world.unit()
        await other.update(Contact, "c", email="x")
        await world.commit(other)

        with pytest.raises(VersionConflictError):
            await world.commit(unit)


async def test_a_run_may_update_one_instance_again_and_again(path):
    async with opened(path) as world:
        await world.create(Contact(id="c"))
        unit = world.unit()
        contact = await unit.get(Contact, "c")
        await unit.update(contact, phone="1")
        await unit.update(contact, email="x")
        again = await unit.update(contact, city="Graz")
        await unit.delete(again)
        await unit.create(Contact, id="c", phone="9")
        await world.commit(unit)

        found = await world.unit().get(Contact, "c")
        assert (found.phone, found.email, found.version) == ("9", None, 1)


async def test_a_record_deleted_by_someone_else_is_a_conflict_for_the_run_that_read_it(path):
    async with opened(path) as world:
        await world.create(Contact(id="c"))
        unit = world.unit()
        await unit.update(Contact, "c", phone="1")
        other = world.unit()
        await other.delete(Contact, "c")
        await world.commit(other)

        with pytest.raises(VersionConflictError, match="deleted by someone else"):
            await world.commit(unit)


async def test_an_update_by_id_takes_whatever_version_is_there(path):
    async with opened(path) as world:
        await world.create(Contact(id="c", city="Wien"))
        one, two = world.unit(), world.unit()
        await one.update(Contact, "c", phone="1")
        await two.update(Contact, "c", email="x")
        await world.commit(one)
        await world.commit(two)

        found = await world.unit().get(Contact, "c")
        assert (found.phone, found.email, found.city, found.version) == ("1", "x", "Wien", 3)


async def test_increments_of_concurrent_runs_all_count(path):
    async with opened(path) as world:
        await world.create(InventoryLevel(id="i", available=10, custom={"n": 1}))
        units = [world.unit() for _ in range(3)]
        for unit in units:
            level = await unit.get(InventoryLevel, "i")
            changed = await unit.update(level, available=increment(-2), custom={"n": increment(1)})
            assert changed.available == 8
        for unit in units:
            await world.commit(unit)

        found = await world.unit().get(InventoryLevel, "i")
        assert (found.available, found.custom, found.version) == (4, {"n": 4}, 4)


async def test_an_increment_beside_another_change_checks_the_version(path):
    async with opened(path) as world:
        [level] = await world.create(InventoryLevel(id="i", available=10))
        other = world.unit()
        await other.update(InventoryLevel, "i", sku="s")
        await world.commit(other)

        with pytest.raises(VersionConflictError):
            await world.unit().update(level, available=increment(1), sku="t")


async def test_custom_fields_are_merged(path):
    async with opened(path) as world:
        await world.create(Contact(id="c", custom={"a": 1, "b": 2}))
        unit = world.unit()
        await unit.update(Contact, "c", custom={"b": 3, "n": increment(2), "d": date(2026, 1, 2)})
        await world.commit(unit)

        found = await world.unit().get(Contact, "c")
        assert found.custom == {"a": 1, "b": 3, "n": 2, "d": "2026-01-02"}
        assert [one.id for one in await world.unit().query(Contact, where={"custom.b": 3})] == ["c"]


async def test_lifecycle_events_and_sent_events_are_logged_in_the_order_of_the_calls(path):
    async with opened(path) as world:
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


async def test_sending_an_entity_sends_its_fields(path):
    async with opened(path) as world:
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
async def test_a_delayed_event_is_scheduled(path, delay):
    async with opened(path) as world:
        unit = world.unit()
        await unit.send("drip.next", delay=delay)
        await world.commit(unit)

        [row] = await world.store.read(lambda tx: tx.rows(sa.select(deliveries)))
        assert row.status == SCHEDULED
        assert from_micros(row.due_at) == world.clock.now() + timedelta(days=2)
        assert world.bus.offered == []


async def test_nothing_is_sent_or_written_without_a_commit(path):
    async with opened(path) as world:
        unit = world.unit()
        await unit.create(Contact, id="c")
        await unit.send("x")

        assert await world.events() == []
        assert await world.unit().count(Contact) == 0


async def test_apply_may_run_again_after_a_rollback(path):
    async with opened(path) as world:
        await world.create(Contact(id="c", total_spent=Decimal(1)))
        unit = world.unit()
        await unit.update(Contact, "c", total_spent=increment(1))
        await unit.create(Contact, id="d")
        await unit.send("x")

        def fail(tx: Any) -> None:
            unit.apply(tx)
            raise RuntimeError("the neighbour failed")

        with pytest.raises(RuntimeError):
            await world.store.write(fail)
        await world.commit(unit)

        assert (await world.unit().get(Contact, "c")).total_spent == 2
        assert [event.type for event in await world.events()][-3:] == [
            "contact.updated",
            "contact.created",
            "x",
        ]


async def test_a_tenant_sees_and_touches_its_own_records_only(path):
    async with opened(path) as world:
        for tenant in ("acme", "other"):
            unit = world.unit(tenant)
            await unit.create(Contact, id="c", email=f"{tenant}@x.com")
            await unit.create(Contact, id=f"only-{tenant}")
            await world.commit(unit)
        acme = world.unit("acme")
        theirs = await world.unit("other").get(Contact, "c")

        assert await acme.count(Contact) == 2
        assert (await acme.get(Contact, "c")).email == "acme@x.com"
        assert await acme.find_one(Contact, email="other@x.com") is None
        with pytest.raises(RecordMissingError):
            await acme.update(Contact, "only-other", phone="1")
        for attempt in (
            acme.update(theirs, phone="1"),
            acme.delete(theirs),
            acme.create(theirs),
            acme.create(Contact, business_id="other"),
            acme.send(Contact.updated, theirs),
            acme.send("x", business_id="other"),
        ):
            with pytest.raises(UsageError, match="across_tenants"):
                await attempt
        assert not acme.dirty


async def test_across_tenants_reads_and_writes_every_tenant(path):
    async with opened(path) as world:
        for tenant in ("acme", "other"):
            unit = world.unit(tenant)
            await unit.create(Contact, id="c")
            await unit.create(Contact, id=f"only-{tenant}", phone="1")
            await world.commit(unit)
        unit = world.unit("acme")
        everyone = unit.across_tenants()

        assert await everyone.count(Contact) == 4
        theirs = await everyone.get(Contact, "only-other")
        await everyone.update(theirs, phone="2")
        await everyone.update(Contact, "only-acme", phone="2")
        made = await everyone.create(Contact, id="n", business_id="third")
        await everyone.send(Contact.updated, theirs)
        assert await everyone.count(Contact, phone="2") == 2
        assert [one.id for one in await unit.query(Contact, phone="2")] == ["only-acme"]
        with pytest.raises(UsageError, match="Several tenants have a Contact c"):
            await everyone.get(Contact, "c")
        with pytest.raises(UsageError, match="needs a business_id"):
            await everyone.create(Contact)
        assert unit.dirty
        await world.commit(unit)

        assert (await world.unit("third").get(Contact, "n")) == made
        assert (await world.unit("other").get(Contact, "only-other")).phone == "2"
        assert [event.business_id for event in await world.events()][4:] == [
            "other",
            "acme",
            "third",
            "other",
        ]


async def test_an_instance_without_a_version_is_not_checked(path):
    async with opened(path) as world:
        await world.create(Contact(id="c"))
        unit = world.unit()

        await unit.update(Contact(id="c"), phone="1")
        await world.commit(unit)

        assert (await world.unit().get(Contact, "c")).phone == "1"


async def test_an_id_is_created_once(path):
    async with opened(path) as world:
        await world.create(Contact(id="c"))
        unit = world.unit()
        await unit.create(Contact, id="d")
        with pytest.raises(RecordConflictError, match="written a Contact d already"):
            await unit.create(Contact, id="d")

        await unit.create(Contact, id="c")
        with pytest.raises(RecordConflictError, match="contact c already"):
            await world.commit(unit)


async def test_a_unit_updates_what_it_read_without_reading_again(path):
    async with opened(path) as world:
        await world.create(Integration(id="i", name="crm"))
        reads = 0
        unit = world.unit()
        found = await unit.find_one(Integration, name="crm")
        original = world.store.read

        async def counting(query: Any) -> Any:
            nonlocal reads
            reads += 1
            return await original(query)

        world.store.read = counting  # type: ignore[method-assign]
        await unit.update(found, status="active")

        assert reads == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda unit: unit.create(Contact, fist_name="x"),
            r"Contact has no field 'fist_name'; did you mean 'first_name'\? Put a field of your "
            r"own under custom=\{...\}.",
        ),
        (lambda unit: unit.update(Contact, "c", fist_name="x"), "did you mean 'first_name'"),
        (lambda unit: unit.create(Contact, first_name=5), "Contact.first_name was given int 5"),
        (lambda unit: unit.create(Contact, total_spent=1.5), r'Write Decimal\("1.5"\)'),
        (lambda unit: unit.create(Contact, last_purchase="soon"), "Contact.last_purchase"),
        (lambda unit: unit.create(Contact, version=3), "version is set by Dovetail"),
        (lambda unit: unit.create(Contact(id="z"), phone="1"), "put the fields into the instance"),
        (lambda unit: unit.create(Contact(first_name=5)), "Contact.first_name was given int 5"),
        (lambda unit: unit.update(Contact, "c", version=3), "version is set by Dovetail"),
        (lambda unit: unit.update(Contact, "c"), "was given no changes"),
        (lambda unit: unit.update(Contact, phone="1"), "needs the id"),
        (lambda unit: unit.update(Contact(), phone="1"), "without an id"),
        (lambda unit: unit.update(Contact(id="c"), "c", phone="1"), "and an id"),
        (lambda unit: unit.delete(Contact), "needs the id"),
        (lambda unit: unit.query(Contact, emial="x"), "did you mean 'email'"),
        (lambda unit: unit.send("not a name"), "not an event to send"),
        (lambda unit: unit.send("contact.*"), "not an event to send"),
        (lambda unit: unit.send(Contact), "not an event to send"),
        (lambda unit: unit.send("x", 5), "was given a int"),
        (lambda unit: unit.send("x", thing=object()), "not data"),
        (lambda unit: unit.send("x", text="\ud800"), "surrogate"),
    ],
)
async def test_a_mistake_says_what_to_do(call, said):
    async with opened(":memory:") as world:
        await world.create(Contact(id="c"))
        unit = world.unit()

        with pytest.raises(UsageError, match=said):
            await call(unit)
        assert not unit.dirty


async def test_a_delay_that_is_no_duration_is_refused():
    async with opened(":memory:") as world:
        with pytest.raises(ConfigError, match="not a duration"):
            await world.unit().send("x", delay="soonish")


async def test_a_run_without_a_tenant_can_only_work_across_tenants():
    async with opened(":memory:") as world:
        unit = world.unit("")

        with pytest.raises(UsageError, match="this run has none"):
            await unit.create(Contact)
        await unit.send("tick.handled")
        await unit.across_tenants().create(Contact, business_id="acme")
        await world.commit(unit)

        assert await world.unit("acme").count(Contact) == 1
