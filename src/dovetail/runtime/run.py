"""
Running deliveries and keeping their books: effect and "done" commit together.

    done    -> the unit of work is applied and the delivery finished in one transaction
    failed  -> retried after its backoff while the policy allows, then a dead letter
    paused  -> put off until the connection may be used again; no try is counted
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
import structlog

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.errors import (
    ConnectionPausedError,
    InternalError,
    RunCancelled,
    StoreError,
    describe,
)
from dovetail.runtime.context import RunContext, RunIds, current
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.gather import ListContext
from dovetail.runtime.handler import BatchHandler, EventHandler, HandlerSpec, ListHandler
from dovetail.runtime.likeness import likeness_of
from dovetail.runtime.log import EventLog
from dovetail.runtime.patience import Patience, is_refusal
from dovetail.runtime.refusal import put_off
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import DEAD, DONE, OPEN, deliveries
from dovetail.runtime.unit import UnitOfWork

log = structlog.get_logger("dovetail.run")

_HISTORY = 10
_STORE_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class _Finish:
    ids: tuple[int, ...]
    finished_at: int
    unit: UnitOfWork | None


@dataclass(frozen=True, slots=True)
class _Failure:
    """The deliveries of one lane that failed together, and what comes next for them."""

    taken: list[Delivery]
    error: BaseException
    dead: bool
    due_at: int

    def rows(self, now: int) -> list[dict[str, Any]]:
        """Return what the store keeps of it, by delivery."""
        facts = describe(self.error)
        record = facts | {"traceback": _trace(self.error)} if self.dead else facts
        latest = self.taken[-1]
        since = latest.history[-1].get("since", now) if latest.attempt > 1 else now
        latest.history = [*latest.history, {"at": now, "since": since, **facts}][-_HISTORY:]
        kept = {
            "status": DEAD if self.dead else OPEN,
            "attempt": latest.attempt,
            "due_at": self.due_at,
            "finished_at": now if self.dead else None,
            "error": json.encode(record),
            "history": json.encode(latest.history),
            "likeness": likeness_of(facts) if self.dead else None,
        }
        return [{"delivery": delivery.id, **kept} for delivery in self.taken]


class Runner:
    """
    Runs handlers for the dispatcher.

    Args:
        store: Where the books are kept.
        log: Where sent events go.
        clock: Time.
        rng: Jitter.
        services: What handlers can reach through their context (see `Context`).
        patience: What knows whether the store refuses.
    """

    def __init__(
        self,
        store: Store,
        log: EventLog,
        clock: Clock,
        rng: random.Random,
        services: Any = None,
        patience: Patience | None = None,
    ) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._rng = rng
        self._patience = patience or Patience(clock)
        self.services = services

    async def run_one(self, spec: HandlerSpec, taken: list[Delivery]) -> list[Delivery]:
        """
        Serve the deliveries of one lane with one run and return those that stay open.

        With coalescing, *taken* holds several and the run gets the latest event.
        """
        delivery = taken[-1]
        context = self._context(spec, delivery)
        token = current.set(context)
        try:
            await cast(EventHandler, spec.call)(delivery.event)
            error: BaseException | None = None
        except (Exception, RunCancelled) as raised:
            error = raised
        finally:
            current.reset(token)
        if error is None:
            error = await self._finish(taken, context.unit)
        if error is None:
            return []
        if isinstance(error, ConnectionPausedError):
            await self._put_off(taken, error)
            return []
        return (await self._fail(spec, [(taken, error)]))[0]

    async def run_batch(
        self, spec: HandlerSpec, lanes: list[list[Delivery]]
    ) -> list[list[Delivery]]:
        """Serve many lanes with one call; return, per lane, the deliveries that stay open."""
        latest = [taken[-1] for taken in lanes]
        try:
            outcomes = await cast(BatchHandler, spec.call)([one.event for one in latest])
        except Exception as error:
            outcomes = [error] * len(lanes)
        if len(outcomes) != len(lanes):
            wrong = InternalError(
                f"Batch handler {spec.name!r} returned {len(outcomes)} outcomes for "
                f"{len(lanes)} events."
            )
            outcomes = [wrong] * len(lanes)
        done = [
            delivery
            for taken, outcome in zip(lanes, outcomes, strict=True)
            if outcome is None
            for delivery in taken
        ]
        if done:
            refused = await self._finish(done, None)
            if refused is not None:
                outcomes = [refused if outcome is None else outcome for outcome in outcomes]
        failed = {
            index: outcome
            for index, outcome in enumerate(outcomes)
            if outcome is not None and not isinstance(outcome, ConnectionPausedError)
        }
        kept = await self._fail(spec, [(lanes[index], error) for index, error in failed.items()])
        open_still = dict(zip(failed, kept, strict=True))
        pause = next((one for one in outcomes if isinstance(one, ConnectionPausedError)), None)
        if pause is not None:
            # Last, because from then on the dispatcher may be given them again.
            paused = [
                delivery
                for taken, outcome in zip(lanes, outcomes, strict=True)
                if isinstance(outcome, ConnectionPausedError)
                for delivery in taken
            ]
            await self._put_off(paused, pause)
        return [open_still.get(index, []) for index in range(len(lanes))]

    async def run_list(self, spec: HandlerSpec, taken: list[Delivery]) -> list[Delivery]:
        """
        Serve gathered deliveries of one tenant with one call; return those that stay open.

        A list that fails for good is done again one by one, so that a bad event takes no other
        along.
        """
        context = ListContext(self._context(spec, taken[0]).unit, self._clock, self.services)
        token = current.set(context)
        try:
            await cast(ListHandler, spec.call)([one.event for one in taken])
            error: BaseException | None = None
        except (Exception, RunCancelled) as raised:
            error = raised
        finally:
            current.reset(token)
        if error is None:
            error = await self._finish(taken, context.unit)
        if error is None:
            return []
        if isinstance(error, ConnectionPausedError):
            await self._put_off(taken, error)
            return []
        tries = max(one.attempt for one in taken) + 1
        if len(taken) > 1 and not spec.retry.allows(error, tries):
            return [one for alone in taken for one in await self.run_list(spec, [alone])]
        kept = await self._fail(spec, [([one], error) for one in taken])
        return [one for lane in kept for one in lane]

    async def park(self, delivery: Delivery, error: BaseException) -> None:
        """Make the delivery a dead letter."""
        await self._record([_Failure([delivery], error, dead=True, due_at=delivery.due_at)])

    def _context(self, spec: HandlerSpec, delivery: Delivery) -> RunContext:
        event = delivery.event
        unit = UnitOfWork(
            store=self._store,
            log=self._log,
            business_id=event.business_id,
            source=f"handler:{spec.name}",
            caused_by=event.id,
            clock=self._clock,
            new_id=RunIds(event.id, spec.name, event.occurred_at).new,
        )
        return RunContext(
            delivery=delivery,
            unit=unit,
            store=self._store,
            clock=self._clock,
            services=self.services,
        )

    async def _finish(
        self, taken: Sequence[Delivery], unit: UnitOfWork | None
    ) -> BaseException | None:
        item = _Finish(
            ids=tuple(delivery.id for delivery in taken),
            finished_at=to_micros(self._clock.now()),
            unit=unit if unit is not None and unit.dirty else None,
        )
        try:
            await self._store.write_each(_finish_all, item)
        except StoreError as error:
            if not is_refusal(error):
                return error
            # Locked or full: what the handler did is still here, and need not be done again.
            return await self._insist_on_finishing(item, error)
        except Exception as error:
            return error
        return None

    async def _insist_on_finishing(
        self, item: _Finish, refused: StoreError
    ) -> BaseException | None:
        self._patience.refused(refused)
        try:
            await self._patience.insist(
                lambda: self._store.write_each(_finish_all, item), any_refusal=False
            )
        except Exception as error:
            return error
        return None

    async def _fail(
        self, spec: HandlerSpec, failed: list[tuple[list[Delivery], BaseException]]
    ) -> list[list[Delivery]]:
        """Keep the books of lanes that failed in one call; return what stays open of each."""
        waits: dict[tuple[str, int], float] = {}
        failures = [self._judge(spec, taken, error, waits) for taken, error in failed]
        if failures:
            await self._record(failures)
        return [[] if failure.dead else failure.taken for failure in failures]

    def _judge(
        self,
        spec: HandlerSpec,
        taken: list[Delivery],
        error: BaseException,
        waits: dict[tuple[str, int], float],
    ) -> _Failure:
        # The latest delivery counts the tries of a coalesced run; its elders share its fate.
        delivery = taken[-1]
        if is_refusal(error):
            dead = False  # the database refuses everybody: no fault of this event
        else:
            delivery.attempt += 1
            dead = not spec.retry.allows(error, delivery.attempt, self._failing_s(delivery))
        wait_s = 0.0
        if not dead:
            # What failed together for one reason is tried again together: with a wait of its
            # own each, a batch would fall apart into as many calls as it has records.
            alike = (str(error), delivery.attempt)
            if alike not in waits:
                waits[alike] = spec.retry.wait_s(error, delivery.attempt, self._rng)
            wait_s = waits[alike]
        due_at = to_micros(self._clock.now()) + int(wait_s * 1_000_000)
        for one in taken:
            one.due_at = due_at
            one.fresh = False
        report = log.error if dead else log.warning
        report(
            "handler_failed",
            handler=spec.name,
            event_type=delivery.event.type,
            key=delivery.event.key,
            attempt=delivery.attempt,
            error=describe(error)["message"],
            next="dead letter" if dead else f"retry in {wait_s:.1f} s",
        )
        return _Failure(taken, error, dead=dead, due_at=due_at)

    def _failing_s(self, delivery: Delivery) -> float:
        """Return for how long its tries have been failing."""
        if delivery.attempt <= 1 or not delivery.history:
            return 0.0
        now = to_micros(self._clock.now())
        return float(now - delivery.history[-1].get("since", now)) / 1_000_000

    async def _put_off(self, taken: list[Delivery], error: ConnectionPausedError) -> None:
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

    async def _record(self, failures: list[_Failure]) -> None:
        now = to_micros(self._clock.now())
        rows = [row for failure in failures for row in failure.rows(now)]
        final = any(failure.dead for failure in failures)
        waited = 0.0
        while True:
            try:
                # Locked or full: the delivery is still open in the store, so nothing is lost; wait
                # for the database rather than forget the attempt.
                await self._patience.insist(
                    lambda: self._store.write(lambda tx: tx.run(_FAILED, rows)), any_refusal=False
                )
                return
            except StoreError as refused:
                log.warning("store_refused", error=refused.message, waited_s=waited)
                if waited >= _STORE_PATIENCE_S and not final:
                    return
                pause = min(1.0 + waited, 5.0)
                waited += pause
                await self._clock.sleep(pause)


def _trace(error: BaseException) -> str:
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join(lines)[-4000:]


_DONE = (
    sa.update(deliveries)
    .where(deliveries.c.id == sa.bindparam("delivery"))
    .values(status=DONE, finished_at=sa.bindparam("at"))
)

_KEPT = ("status", "attempt", "due_at", "finished_at", "error", "history", "likeness")
_FAILED = (
    sa.update(deliveries)
    .where(deliveries.c.id == sa.bindparam("delivery"))
    .values({name: sa.bindparam(name) for name in _KEPT})
)


def _finish_all(tx: Tx, items: list[_Finish]) -> list[None]:
    for item in items:
        if item.unit is not None:
            item.unit.apply(tx)
    tx.run(
        _DONE,
        [{"delivery": one, "at": item.finished_at} for item in items for one in item.ids],
    )
    return [None] * len(items)
