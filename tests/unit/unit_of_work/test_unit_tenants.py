"""Tenants never mix."""

import pytest

from dovetail.entities import (
    Contact,
)
from dovetail.errors import (
    RecordMissingError,
    UsageError,
)


async def test_a_tenant_sees_and_touches_its_own_records_only(world_of):
    async with world_of() as world:
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


async def test_across_tenants_reads_and_writes_every_tenant(world_of):
    async with world_of() as world:
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


async def test_a_run_without_a_tenant_can_only_work_across_tenants(world_in_memory):
    async with world_in_memory() as world:
        unit = world.unit("")

        with pytest.raises(UsageError, match="this run has none"):
            await unit.create(Contact)
        await unit.send("tick.handled")
        await unit.across_tenants().create(Contact, business_id="acme")
        await world.commit(unit)

        assert await world.unit("acme").count(Contact) == 1
