"""Where the quota of every connected account is kept, shared by all workers on one store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from dovetail.connector_sdk.limits import BudgetStore
from dovetail.core import json
from dovetail.runtime.store.port import Store, Tx, upsert
from dovetail.runtime.store.schema import budgets

T = TypeVar("T")

_LOAD = sa.select(budgets.c.state).where(budgets.c.key == sa.bindparam("of_key"))
_PUT = upsert(budgets, "state")


class StoreBudgets(BudgetStore):
    """Keeps the state of rate budgets in the store, shared by every worker on it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def update(
        self, key: str, change: Callable[[dict[str, Any] | None], tuple[dict[str, Any], T]]
    ) -> T:
        """Change one state in a transaction."""

        def work(tx: Tx) -> T:
            found = tx.scalar(_LOAD, {"of_key": key})
            state, result = change(json.decode(found) if found is not None else None)
            tx.run(_PUT(tx), {"key": key, "state": json.encode(state)})
            return result

        return await self._store.write(work)
