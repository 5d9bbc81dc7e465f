"""Writing: one transaction, versions, increments."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from dovetail.entities import (
    Contact,
    InventoryLevel,
)
from dovetail.errors import (
    RecordConflictError,
    RecordMissingError,
    VersionConflictError,
)
from dovetail.runtime.unit import increment


async def test_what_a_run_writes_is_there_after_its_commit_and_not_before(world_of):
    async with world_of() as world:
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


async def test_an_instance_is_only_updated_at_the_version_it_was_read_at(world_of):
    async with world_of() as world:
        await world.create(Contact(id="c"))
        stale = await world.unit().get(Contact, "c")
        other = world.unit()
        await other.update(Contact, "c", phone="1")
        await world.commit(other)

        with pytest.raises(VersionConflictError, match="read at version 1 and is at version 2"):
            await world.unit().update(stale, phone="2")
        with pytest.raises(VersionConflictError):
            await world.unit().delete(stale)


async def test_a_change_that_came_between_read_and_commit_is_found_at_the_commit(world_of):
    async with world_of() as world:
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


async def test_an_unchecked_write_before_it_does_not_hide_a_stale_read(world_of):
    async with world_of() as world:
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


async def test_a_run_may_update_one_instance_again_and_again(world_of):
    async with world_of() as world:
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


async def test_a_record_deleted_by_someone_else_is_a_conflict_for_the_run_that_read_it(world_of):
    async with world_of() as world:
        await world.create(Contact(id="c"))
        unit = world.unit()
        await unit.update(Contact, "c", phone="1")
        other = world.unit()
        await other.delete(Contact, "c")
        await world.commit(other)

        with pytest.raises(VersionConflictError, match="deleted by someone else"):
            await world.commit(unit)


async def test_an_update_by_id_takes_whatever_version_is_there(world_of):
    async with world_of() as world:
        await world.create(Contact(id="c", city="Wien"))
        one, two = world.unit(), world.unit()
        await one.update(Contact, "c", phone="1")
        await two.update(Contact, "c", email="x")
        await world.commit(one)
        await world.commit(two)

        found = await world.unit().get(Contact, "c")
        assert (found.phone, found.email, found.city, found.version) == ("1", "x", "Wien", 3)


async def test_increments_of_concurrent_runs_all_count(world_of):
    async with world_of() as world:
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


async def test_an_increment_beside_another_change_checks_the_version(world_of):
    async with world_of() as world:
        [level] = await world.create(InventoryLevel(id="i", available=10))
        other = world.unit()
        await other.update(InventoryLevel, "i", sku="s")
        await world.commit(other)

        with pytest.raises(VersionConflictError):
            await world.unit().update(level, available=increment(1), sku="t")


async def test_custom_fields_are_merged(world_of):
    async with world_of() as world:
        await world.create(Contact(id="c", custom={"a": 1, "b": 2}))
        unit = world.unit()
        await unit.update(Contact, "c", custom={"b": 3, "n": increment(2), "d": date(2026, 1, 2)})
        await world.commit(unit)

        found = await world.unit().get(Contact, "c")
        assert found.custom == {"a": 1, "b": 3, "n": 2, "d": "2026-01-02"}
        assert [one.id for one in await world.unit().query(Contact, where={"custom.b": 3})] == ["c"]


async def test_apply_may_run_again_after_a_rollback(world_of):
    async with world_of() as world:
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


async def test_an_instance_without_a_version_is_not_checked(world_of):
    async with world_of() as world:
        await world.create(Contact(id="c"))
        unit = world.unit()

        await unit.update(Contact(id="c"), phone="1")
        await world.commit(unit)

        assert (await world.unit().get(Contact, "c")).phone == "1"


async def test_an_id_is_created_once(world_of):
    async with world_of() as world:
        await world.create(Contact(id="c"))
        unit = world.unit()
        await unit.create(Contact, id="d")
        with pytest.raises(RecordConflictError, match="written a Contact d already"):
            await unit.create(Contact, id="d")

        await unit.create(Contact, id="c")
        with pytest.raises(RecordConflictError, match="contact c already"):
            await world.commit(unit)
