"""Reading: what a run sees of the store and of its own writes."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.entities import (
    Contact,
    Deal,
    Integration,
)
from dovetail.errors import (
    RecordMissingError,
)
from dovetail.testing.loop import run


async def test_reads_see_the_writes_of_their_own_run(world_of):
    async with world_of() as world:
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


async def test_pages_hold_every_record_once_whatever_the_run_has_written(world_of):
    async with world_of() as world:
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


async def test_a_result_that_is_complete_has_no_cursor(world_of):
    async with world_of() as world:
        await world.create(Deal(id="1"), Deal(id="2"))
        unit = world.unit()

        assert (await unit.query(Deal, limit=2)).cursor is None
        assert (await unit.query(Deal)).cursor is None
        assert (await unit.query(Deal, limit=1)).cursor is not None


async def test_a_returned_record_is_a_copy(world_of):
    async with world_of() as world:
        unit = world.unit()
        made = await unit.create(Contact, id="c", custom={"a": 1})
        made.custom["a"] = 2
        made.first_name = "changed"

        assert (await unit.get(Contact, "c")).custom == {"a": 1}
        await world.commit(unit)
        assert (await world.unit().get(Contact, "c")).first_name is None


async def test_a_unit_updates_what_it_read_without_reading_again(world_of):
    async with world_of() as world:
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


FIXTURE = HealthCheck.function_scoped_fixture  # it holds no state: it makes a new world each time
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "delete"]), st.integers(0, 7), st.integers(0, 2)
    ),
    max_size=6,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stored=st.lists(st.integers(0, 2), max_size=6),
    calls=CALLS,
    size=st.integers(1, 3),
    order=st.sampled_from(["name", "-name"]),
    wanted=st.sampled_from([{}, {"name": {"gt": "0"}}]),
)
def test_a_run_sees_before_its_commit_what_is_there_afterwards(
    world_in_memory, stored, calls, size, order, wanted
):
    async def pages(unit: Any) -> list[str]:
        found: list[str] = []
        after = None
        while True:
            page = await unit.query(Deal, where=wanted, order_by=order, limit=size, after=after)
            found += [one.id for one in page]
            after = page.cursor
            if after is None:
                return found

    async def check() -> None:
        async with world_in_memory() as world:
            made = [Deal(id=f"{n}", name=f"{name}") for n, name in enumerate(stored)]
            await world.create(*made)
            unit = world.unit()
            for call, number, name in calls:
                exists = await unit.find_one(Deal, id=f"{number}") is not None
                if call == "create" and not exists:
                    await unit.create(Deal, id=f"{number}", name=f"{name}")
                elif call == "update" and exists:
                    await unit.update(Deal, f"{number}", name=f"{name}")
                elif call == "delete" and exists:
                    await unit.delete(Deal, f"{number}")
            before = await pages(unit), await unit.count(Deal, where=wanted)
            await world.commit(unit)
            fresh = world.unit()
            assert before == (await pages(fresh), await fresh.count(Deal, where=wanted))

    run(check())
