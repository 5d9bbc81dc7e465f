"""Budgets in the store: whoever spends, everybody sees it."""

import asyncio

from dovetail.app.budget_store import StoreBudgets
from dovetail.app.schema import upgrade
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports


async def opened(path):
    store = SqliteStore(path, seeded_ports())
    await store.open()
    await store.migrate(upgrade)
    return store


def spend(state):
    spent = 0 if state is None else state["spent"]
    return {"spent": spent + 1}, spent


async def test_workers_on_one_store_spend_from_one_budget():
    store = await opened(":memory:")
    workers = [StoreBudgets(store), StoreBudgets(store)]

    seen = await asyncio.gather(*(workers[n % 2].update("hubspot:1", spend) for n in range(20)))

    assert sorted(seen) == list(range(20)), "each call saw what all before it had spent"
    assert await workers[0].update("hubspot:2", spend) == 0, "accounts do not share"
    await store.close()


async def test_what_is_spent_stays_spent_over_a_restart(tmp_path):
    for expected in range(3):
        store = await opened(tmp_path / "app.db")
        assert await StoreBudgets(store).update("hubspot:1", spend) == expected
        await store.close()
