"""Whether a running app is alive, and whether it can take work."""

from __future__ import annotations

import asyncio

from dovetail.errors import StoreError
from dovetail.runtime.engine import Runtime
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import sequences
from dovetail.runtime.store.sqlite import SqliteStore

_WITHIN_S = 2.0


class Health:
    """
    The health of one app; `has_started` is set once it has, and unset as it stops.

    Args:
        store: Its store.
        runtime: Its runtime.
    """

    def __init__(self, store: SqliteStore, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self.has_started = False

    def faults(self) -> list[str]:
        """Return why the process should be started anew; nothing when it is alive."""
        # Whoever is answered knows that the loop turns; its tasks may have ended all the same.
        found: list[str] = []
        if self.has_started and not self._runtime.is_alive:
            found.append("the dispatcher has stopped")
        if self.has_started and not self._store.group.is_alive:
            found.append("the writer of the store has stopped")
        return found

    async def obstacles(self) -> list[str]:
        """Return why no work should be sent here now; nothing when it is ready."""
        if not self.has_started:
            return ["it is starting or stopping"]
        found = self.faults()
        if not found:
            found += await self._refusal()
        return found

    async def _refusal(self) -> list[str]:
        # An empty transaction takes the lock and costs no write. It would not notice a full disk,
        # so after a refusal something is really written until that works again.
        work = _nothing if self._store.group.refusal is None else _something
        try:
            async with asyncio.timeout(_WITHIN_S):
                await self._store.write(work)
        except TimeoutError:
            return [f"the database took no write within {_WITHIN_S:g} s"]
        except StoreError as error:
            return [f"the database refuses: {error.facts.get('reason', error.message)}"]
        return []


def _nothing(tx: Tx) -> None:
    del tx


def _something(tx: Tx) -> None:
    row = tx.insert(sequences).values(name="probe", next=1)
    tx.run(row.on_conflict_do_update(index_elements=["name"], set_={"next": sequences.c.next + 1}))
