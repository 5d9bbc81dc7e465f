"""The books of runs: what ends, fails or is put off, written so that no end is forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import structlog

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.errors import ConnectionPausedError, StoreError, describe
from dovetail.runtime.child_run import DIED, end_children, failed, returned
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.failure import FAILED, FailedRuns
from dovetail.runtime.log import EventLog
from dovetail.runtime.patience import Patience, is_refusal
from dovetail.runtime.refusal import put_off
from dovetail.runtime.run_state import end_states
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import DONE, deliveries
from dovetail.runtime.unit import UnitOfWork

log = structlog.get_logger("dovetail.run")

_STORE_PATIENCE_S = 30.0


class _Finish(NamedTuple):
    ids: list[int]
    finished_at: int
    unit: UnitOfWork | None
    stateful: bool = False
    returned: bytes | None = None


class Books:
    """
    Writes down what becomes of runs.

    Args:
        store: Where.
        log: Told of what was scheduled.
        clock: Time.
        patience: What knows whether the store refuses.
    """

    def __init__(self, store: Store, log: EventLog, clock: Clock, patience: Patience) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._patience = patience

    async def finish(
        self,
        taken: Sequence[Delivery],
        unit: UnitOfWork | None,
        *,
        stateful: bool = False,
        returned: bytes | None = None,
    ) -> BaseException | None:
        """
        Commit what a run did and that it is done; return what the store refused it for.

        A child run has *returned* something, in JSON, which its parent gets.
        """
        if returned is None and any(delivery.is_child for delivery in taken):
            returned = b"null"  # its handler is one by now that has no result for each event
        item = _Finish(
            ids=[delivery.id for delivery in taken],
            finished_at=to_micros(self._clock.now()),
            unit=unit if unit is not None and unit.dirty else None,
            stateful=stateful,
            returned=returned,
        )
        try:
            await self._store.write_each(self._finish_all, item)
        except StoreError as error:
            if not is_refusal(error):
                return error
            # Locked or full: what the handler did is still here, and need not be done again.
            return await self._insist_on_finishing(item, error)
        except Exception as error:
            return error
        return None

    def _finish_all(self, tx: Tx, items: list[_Finish]) -> list[None]:
        for item in items:
            if item.unit is not None:
                item.unit.apply(tx)
            if item.stateful:
                end_states(tx, item.ids, item.finished_at)
        # What is committed together ends together.
        ids = [one for item in items for one in item.ids]
        finished_at = max(item.finished_at for item in items)
        tx.set_many(deliveries.c.id, ids, {"status": DONE, "finished_at": finished_at})
        outcomes = {
            one: returned(item.returned)
            for item in items
            if item.returned is not None
            for one in item.ids
        }
        if outcomes and end_children(tx, outcomes, finished_at):
            tx.after_commit(self._log.on_scheduled)
        return [None] * len(items)

    async def _insist_on_finishing(
        self, item: _Finish, refused: StoreError
    ) -> BaseException | None:
        self._patience.refused(refused)
        try:
            await self._patience.insist(
                lambda: self._store.write_each(self._finish_all, item), any_refusal=False
            )
        except Exception as error:
            return error
        return None

    async def put_off(self, taken: list[Delivery], error: ConnectionPausedError) -> None:
        """Let the store alone keep what waits for credentials: others need the place."""
        due_at = to_micros(self._clock.now()) + int(error.retry_after_s * 1_000_000)
        ids, record = [delivery.id for delivery in taken], json.encode(describe(error))
        log.debug("deliveries_put_off", count=len(ids), error=error.message)
        for one in taken:
            one.outcome = "put_off"

        def work(tx: Tx) -> None:
            put_off(tx, ids, due_at=due_at, error=record)
            tx.after_commit(self._log.on_scheduled)

        await self._store.write(work)

    async def record(self, failures: list[FailedRuns]) -> None:
        """Keep failures; the delivery of one is as good as open until this is done."""
        now = to_micros(self._clock.now())
        rows = [row for failure in failures for row in failure.rows(now)]
        final = any(failure.dead for failure in failures)
        died = {
            one.id: failed(DIED, describe(failure.error))
            for failure in failures
            if failure.dead
            for one in failure.taken
            if one.is_child
        }

        def keep(tx: Tx) -> None:
            tx.run(FAILED, rows)
            if died and end_children(tx, died, now):
                tx.after_commit(self._log.on_scheduled)

        waited = 0.0
        while True:
            try:
                # Locked or full: the delivery is still open in the store, so nothing is lost; wait
                # for the database rather than forget the attempt.
                await self._patience.insist(lambda: self._store.write(keep), any_refusal=False)
                return
            except StoreError as refused:
                log.warning("store_refused", error=refused.message, waited_s=waited)
                if waited >= _STORE_PATIENCE_S and not final:
                    return
                pause = min(1.0 + waited, 5.0)
                waited += pause
                await self._clock.sleep(pause)
