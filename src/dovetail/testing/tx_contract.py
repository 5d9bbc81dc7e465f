"""What every transaction of a Store must do: the part of the contract where databases differ."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa

from dovetail.model.commerce import Product
from dovetail.model.crm import Contact
from dovetail.runtime.record_table import (
    ensure_indexes,
    insert_record,
    load_records,
    select_records,
)
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import schedules

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def put(name: str, number: int = 0) -> Callable[[Tx], str]:
    """Return a work that writes one row and returns its name."""

    def work(tx: Tx) -> str:
        tx.run(sa.insert(schedules), {"name": name, "last_due_at": number})
        return name

    return work


class TxContract(ABC):
    """The contract; every test makes a store of its own. `StoreContract` includes it."""

    is_durable: ClassVar[bool] = True
    """Whether another store on the same place finds what was committed."""

    @abstractmethod
    def make_store(self, place: Path) -> Store:
        """Return a store, not opened; two of one *place* share their state, if it is durable."""

    @abstractmethod
    async def prepare(self, store: Store) -> None:
        """Create the tables in an opened store, unless they are there."""

    @asynccontextmanager
    async def opened(self, place: Path) -> AsyncIterator[Store]:
        """Open, prepare and close a store."""
        store = self.make_store(place)
        await store.open()
        try:
            await self.prepare(store)
            yield store
        finally:
            await store.close()

    async def test_numbers_are_unique_and_grow(self, tmp_path: Path) -> None:
        def take(count: int) -> Callable[[Tx], list[int]]:
            def work(tx: Tx) -> list[int]:
                first = tx.allocate("n", count)
                return list(range(first, first + count))

            return work

        def take_twice(tx: Tx) -> list[int]:
            return take(2)(tx) + take(1)(tx)

        def take_and_fail(tx: Tx) -> list[int]:
            take(5)(tx)
            raise LookupError

        async with self.opened(tmp_path) as store:
            taken = await asyncio.gather(
                store.write(take(3)),
                store.write(take_twice),
                store.write(take_and_fail),
                store.write(take(1)),
                return_exceptions=True,
            )
            lists = [one for one in taken if isinstance(one, list)]
            numbers = [number for one in lists for number in one]
            assert len(lists) == 3
            assert numbers == sorted(set(numbers))
            assert numbers[0] == 1
            assert await store.write(lambda tx: tx.allocate("other", 1)) == 1
        if self.is_durable:
            async with self.opened(tmp_path) as store:
                assert await store.write(lambda tx: tx.allocate("n", 1)) > numbers[-1]

    async def test_insert_can_update_or_ignore_what_is_there(self, tmp_path: Path) -> None:
        def upsert(tx: Tx) -> None:
            insert = tx.insert(schedules).values(name="a", last_due_at=2)
            tx.run(
                insert.on_conflict_do_update(
                    index_elements=["name"], set_={"last_due_at": insert.excluded.last_due_at}
                )
            )

        def ignore(tx: Tx) -> int:
            insert = tx.insert(schedules).values(name="a", last_due_at=3)
            return tx.run(insert.on_conflict_do_nothing())

        async with self.opened(tmp_path) as store:
            await store.write(put("a", 1))
            await store.write(upsert)
            assert await store.write(ignore) == 0
            assert await store.read(lambda tx: tx.scalar(sa.select(schedules.c.last_due_at))) == 2

    async def test_a_list_of_no_params_runs_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            assert await store.write(lambda tx: tx.run(sa.insert(schedules), [])) == 0

    async def test_declared_indexes_may_be_ensured_again_and_again(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.write(lambda tx: ensure_indexes(tx, [Contact, Product]))
            await store.write(lambda tx: ensure_indexes(tx, [Contact, Product]))
            made = Product(id="1", business_id="acme", sku="s")
            await store.write(lambda tx: insert_record(tx, made, NOW))
            found = await store.read(lambda tx: select_records(tx, Product, "acme", {"sku": "s"}))
            assert [one.id for one in found] == ["1"]

    async def test_json_fields_compare_by_their_kind(self, tmp_path: Path) -> None:
        made = Contact(
            id="1",
            business_id="acme",
            total_spent="1234567890123456.01",  # type: ignore[arg-type]
            tags=["vip", "10"],
            custom={"size": 10, "name": "10", "on": True, "off": None},
        )

        def matching(where: dict[str, Any]) -> Callable[[Tx], bool]:
            return lambda tx: bool(select_records(tx, Contact, "acme", where))

        async with self.opened(tmp_path) as store:
            await store.write(lambda tx: insert_record(tx, made, NOW))
            cases: list[tuple[dict[str, Any], bool]] = [
                ({"total_spent": {"gt": "1234567890123456.00"}}, True),
                ({"total_spent": {"gt": "1234567890123456.01"}}, False),
                ({"custom.size": {"gt": 9}}, True),
                ({"custom.name": {"gt": 9}}, False),
                ({"custom.name": {"gt": "9"}}, False),
                ({"custom.on": True}, True),
                ({"custom.on": 1}, False),
                ({"custom.off": None}, True),
                ({"custom.missing": None}, True),
                ({"tags": {"contains": "vip"}}, True),
                ({"tags": {"contains": "vi"}}, False),
            ]
            for where, expected in cases:
                assert await store.read(matching(where)) is expected, where
            loaded = await store.read(lambda tx: load_records(tx, Contact, "acme", ["1"]))
            assert str(loaded["1"].total_spent) == "1234567890123456.01"
