"""
What every Store must do.

Subclass it and give `make_store` and `prepare`::

    class TestSqliteFile(StoreContract):
        def make_store(self, place: Path) -> Store:
            return SqliteStore(place / "dovetail.db", ports)

        async def prepare(self, store: Store) -> None:
            await store.migrate(metadata.create_all)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dovetail.errors import StoreError
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import schedules
from dovetail.testing.tx_contract import TxContract, put


def names(tx: Tx) -> list[str]:
    """Read the names of all rows that `put` wrote."""
    return [row.name for row in tx.rows(sa.select(schedules).order_by(schedules.c.name))]


def fail(tx: Tx) -> None:
    """Write a row, then fail."""
    put("failed")(tx)
    raise LookupError("on purpose")


class StoreContract(TxContract):
    """The contract; every test makes a store of its own."""

    async def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            assert await store.write(put("a", 2**53)) == "a"
            found = await store.read(lambda tx: tx.first(sa.select(schedules)))
            assert found is not None
            assert tuple(found) == ("a", 2**53)
            assert await store.read(lambda tx: tx.scalar(sa.select(schedules.c.name))) == "a"

    async def test_a_failing_work_is_rolled_back_alone(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            works: list[Callable[[Tx], Any]] = [put(f"{n:03}") for n in range(40)]
            works[7] = works[31] = fail
            results = await asyncio.gather(
                *(store.write(work) for work in works), return_exceptions=True
            )
            kept = [f"{n:03}" for n in range(40) if n not in (7, 31)]
            assert [one for one in results if isinstance(one, str)] == kept
            assert isinstance(results[7], LookupError)
            assert isinstance(results[31], LookupError)
            assert await store.read(names) == kept

    async def test_a_statement_that_the_database_refuses_fails_its_own_work_only(
        self, tmp_path: Path
    ) -> None:
        async with self.opened(tmp_path) as store:
            results = await asyncio.gather(
                store.write(put("a")),
                store.write(lambda tx: tx.run(sa.text("INSERT INTO nowhere VALUES (1)"))),
                store.write(put("b")),
                return_exceptions=True,
            )
            assert (results[0], results[2]) == ("a", "b")
            assert isinstance(results[1], Exception)
            assert await store.read(names) == ["a", "b"]

    async def test_a_failing_work_leaves_the_store_usable(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            with pytest.raises(LookupError):
                await store.write(fail)
            await store.write(put("a"))
            assert await store.read(names) == ["a"]

    async def test_items_that_arrive_together_are_handed_over_together(
        self, tmp_path: Path
    ) -> None:
        sizes: list[int] = []

        def operation(tx: Tx, items: list[str]) -> list[str]:
            sizes.append(len(items))
            return [put(item)(tx) for item in items]

        async with self.opened(tmp_path) as store:
            wanted = [f"{n:03}" for n in range(50)]
            results = await asyncio.gather(*(store.write_each(operation, one) for one in wanted))
            assert results == wanted
            assert await store.read(names) == wanted
        assert sum(sizes) == 50
        assert max(sizes) > 1

    async def test_an_item_that_fails_is_found_and_the_others_are_kept_in_order(
        self, tmp_path: Path
    ) -> None:
        attempts: list[list[str]] = []
        told: list[str] = []

        def operation(tx: Tx, items: list[str]) -> list[str]:
            attempts.append(items)
            for item in items:
                if item == "005":
                    raise LookupError(item)
                put(item)(tx)
                tx.after_commit(lambda item=item: told.append(item))  # type: ignore[misc]
            return items

        async with self.opened(tmp_path) as store:
            wanted = [f"{n:03}" for n in range(9)]
            results = await asyncio.gather(
                *(store.write_each(operation, one) for one in wanted), return_exceptions=True
            )
            kept = [one for one in wanted if one != "005"]
            assert [one for one in results if isinstance(one, str)] == kept
            assert isinstance(results[5], LookupError)
            assert told == kept
            assert await store.read(names) == kept
        assert ["005"] in attempts, "at last it was tried alone"

    async def test_operations_and_works_keep_their_order(self, tmp_path: Path) -> None:
        order: list[str] = []

        def first(tx: Tx, items: list[str]) -> list[str]:
            del tx
            order.extend(items)
            return items

        def second(tx: Tx, items: list[str]) -> list[str]:
            del tx
            order.extend(items)
            return items

        async with self.opened(tmp_path) as store:
            await asyncio.gather(
                store.write_each(first, "a"),
                store.write_each(first, "b"),
                store.write(lambda tx: order.append("c")),
                store.write_each(second, "d"),
                store.write_each(first, "e"),
            )
        assert order == ["a", "b", "c", "d", "e"]

    async def test_after_commit_calls_run_in_the_order_of_commits_and_before_the_results(
        self, tmp_path: Path
    ) -> None:
        told: list[str] = []

        def telling(name: str) -> Callable[[Tx], None]:
            def work(tx: Tx) -> None:
                put(name)(tx)
                tx.after_commit(lambda: told.append(name))
                tx.after_commit(lambda: told.append(f"{name} again"))

            return work

        def failing(tx: Tx) -> None:
            tx.after_commit(lambda: told.append("never"))
            fail(tx)

        async def write(name: str) -> None:
            await store.write(telling(name))
            assert name in told

        async with self.opened(tmp_path) as store:
            await asyncio.gather(
                write("a"), write("b"), store.write(failing), write("c"), return_exceptions=True
            )
        assert told == ["a", "a again", "b", "b again", "c", "c again"]

    async def test_an_after_commit_call_that_fails_does_not_stop_the_store(
        self, tmp_path: Path
    ) -> None:
        def work(tx: Tx) -> str:
            tx.after_commit(lambda: 1 // 0)  # type: ignore[arg-type]
            return put("a")(tx)

        async with self.opened(tmp_path) as store:
            assert await store.write(work) == "a"
            assert await store.write(put("b")) == "b"

    async def test_what_was_committed_is_there_after_reopening(self, tmp_path: Path) -> None:
        if not self.is_durable:
            pytest.skip("this store does not outlive its process")
        async with self.opened(tmp_path) as store:
            await store.write(put("a"))
        async with self.opened(tmp_path) as store:
            assert await store.read(names) == ["a"]

    async def test_two_stores_of_one_place_see_each_other_s_commits(self, tmp_path: Path) -> None:
        if not self.is_durable:
            pytest.skip("this store does not outlive its process")
        async with self.opened(tmp_path) as one, self.opened(tmp_path) as other:
            await one.write(put("a"))
            await other.write(put("b"))
            first = await one.write(lambda tx: tx.allocate("n", 1))
            second = await other.write(lambda tx: tx.allocate("n", 1))
            assert await one.read(names) == await other.read(names) == ["a", "b"]
            assert second == first + 1

    async def test_a_read_does_not_see_what_is_not_committed(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            seen_inside: list[list[str]] = []

            def work(tx: Tx) -> None:
                put("a")(tx)
                seen_inside.append(names(tx))
                raise LookupError

            with pytest.raises(LookupError):
                await store.write(work)
            assert seen_inside == [["a"]], "a work sees its own writes"
            assert await store.read(names) == []

    async def test_a_read_that_writes_leaves_nothing_behind(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            with pytest.raises(LookupError):
                await store.read(fail)
            assert await store.read(names) == []
            await store.write(put("a"))

    async def test_closing_finishes_accepted_work(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        await self.prepare(store)
        pending = [asyncio.create_task(store.write(put(f"{n:02}"))) for n in range(20)]
        await asyncio.sleep(0)
        await store.close()
        assert await asyncio.gather(*pending) == [f"{n:02}" for n in range(20)]

    async def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        await store.open()
        await self.prepare(store)
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.write(put("a"))
        with pytest.raises(StoreError, match="closed"):
            await store.write_each(lambda tx, items: items, "a")
        with pytest.raises(StoreError, match="closed"):
            await store.read(names)
        await store.close()

    async def test_a_caller_that_gives_up_does_not_hurt_the_others(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            impatient = asyncio.create_task(store.write(put("a")))
            patient = asyncio.create_task(store.write(put("b")))
            await asyncio.sleep(0)
            impatient.cancel()
            assert await patient == "b"
            assert "b" in await store.read(names)

    async def test_concurrent_writers_are_put_in_one_order(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.write(put("counter"))

            def add(tx: Tx) -> int:
                number = int(tx.scalar(sa.select(schedules.c.last_due_at)))
                tx.run(sa.update(schedules).values(last_due_at=number + 1))
                return number

            async def write_many() -> list[int]:
                return [await store.write(add) for _ in range(20)]

            lists = await asyncio.gather(*(write_many() for _ in range(5)))
            assert sorted(number for one in lists for number in one) == list(range(100))
            assert all(one == sorted(one) for one in lists)
