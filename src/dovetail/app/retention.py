"""
Retention: what is over for long enough is removed, a little at a time.

    events      with their deliveries, steps and waits, once every delivery is over for `keep_days`
    steps       and past failures of finished runs, after `keep_steps_days`, when that is less

Never removed: what is open, scheduled or dead, what was caused by an event that is not over, and
everything that is no history (records, links, cursors, operations that `idempotent` recorded).

A slice is as big as some milliseconds of writing, and there are pauses between slices, so that
nobody who writes waits for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from dovetail.core.clock import Clock, to_micros
from dovetail.core.settings import Settings
from dovetail.errors import StoreError
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import (
    DEAD,
    OPEN,
    SCHEDULED,
    child_runs,
    deliveries,
    events,
    run_states,
    steps,
    waits,
)
from dovetail.runtime.store.sqlite import SqliteStore

log = structlog.get_logger("dovetail.retention")

_FIRST_AFTER_S = 60.0
_EVERY_S = 3600.0
_WHOLE_WALK_EVERY = 24
_WINDOW = 1_000
_SLICE_S = 0.010
_LARGEST_SLICE = 500
_PAUSE_S = 0.020
_FREE_PAGES, _FREE_PART = 2_000, 0.10
"""Free pages are given back when they are more than both; what remains is used again."""
_VACUUM_PAGES = 64

Work = Callable[[Sequence[int], int, Tx], "Counter[str]"]

_UNDONE = (OPEN, SCHEDULED, DEAD)


@dataclass(frozen=True, slots=True)
class Removable:
    """How many rows are over for long enough."""

    events: int = 0
    deliveries: int = 0
    steps: int = 0


class Retention:
    """
    Removes old history of one store.

    Args:
        store: Whose.
        settings: How long it is kept.
        clock: Time.
    """

    def __init__(self, store: SqliteStore, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._keep_days = settings.keep_days
        self._keep_steps_days = settings.keep_steps_days
        self._slice = 50
        self._walked = 0  # deliveries up to here had their steps removed
        self._sweeps = 0
        self.removed: Counter[str] = Counter()
        """Table -> rows that this process has removed."""

    @property
    def cutoff(self) -> int | None:
        """The moment (microseconds) before which events may go; None keeps them for ever."""
        return self._before(self._keep_days)

    async def run(self) -> None:
        """Sweep now and then, for as long as the app runs."""
        await self._clock.sleep(_FIRST_AFTER_S)
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                log.warning("store_refused", error=error.message)
            await self._clock.sleep(_EVERY_S)

    async def sweep(self) -> Counter[str]:
        """
        Remove all that may go now; return how many rows of each table.

        Raises:
            StoreError: The database refused; what was removed before stays removed.
        """
        before = Counter(self.removed)
        if self._sweeps % _WHOLE_WALK_EVERY == 0:
            self._walked = 0
        self._sweeps += 1
        cutoff = self.cutoff
        if cutoff is not None:
            await self._sweep_events(cutoff)
        cutoff = self._before(self._keep_steps_days)
        if cutoff is not None and not 0 < self._keep_days <= self._keep_steps_days:
            await self._sweep_steps(cutoff)
        removed = Counter({k: n - before[k] for k, n in self.removed.items() if n > before[k]})
        if removed:
            log.info("history_removed", **removed)
        await self._give_back()
        return removed

    def _before(self, days: float) -> int | None:
        return to_micros(self._clock.now() - timedelta(days=days)) if days > 0 else None

    async def _sweep_events(self, cutoff: int) -> None:
        after = 0
        while True:
            window = await self._store.read(partial(_look_at_events, after))
            old = [row.seq for row in window if _is_over(row) and _moment(row) < cutoff]
            held = await self._store.read(partial(_held_by_cause, old))
            await self._remove([seq for seq in old if seq not in held], _remove_events, cutoff)
            # Later events are not older: where nothing is old, nothing beyond is.
            if len(window) < _WINDOW or all(_moment(row) >= cutoff for row in window):
                return
            after = window[-1].seq

    async def _sweep_steps(self, cutoff: int) -> None:
        while True:
            window = await self._store.read(partial(_look_at_deliveries, self._walked))
            old = [row.id for row in window if row.finished_at and row.finished_at < cutoff]
            laden = await self._store.read(partial(_laden, old))
            await self._remove(laden, _remove_steps, cutoff)
            if len(window) < _WINDOW or all((row.finished_at or 0) >= cutoff for row in window):
                return
            self._walked = window[-1].id

    async def _remove(
        self,
        ids: Sequence[int],
        work: Callable[[Sequence[int], int, Tx], Counter[str]],
        cutoff: int,
    ) -> None:
        start = 0
        while start < len(ids):
            part = ids[start : start + self._slice]
            start += len(part)
            removed, taken = await self._store.write(partial(self._timed, work, part, cutoff))
            self.removed += removed
            factor = 2.0 if taken < _SLICE_S / 2 else 0.5 if taken > _SLICE_S * 1.5 else 1.0
            self._slice = min(max(int(self._slice * factor), 5), _LARGEST_SLICE)
            await self._clock.sleep(max(_PAUSE_S, taken * 4))

    def _timed(
        self, work: Work, ids: Sequence[int], cutoff: int, tx: Tx
    ) -> tuple[Counter[str], float]:
        # Only the work itself: the wait for others' commits says nothing about its size.
        began = self._clock.monotonic()
        return work(ids, cutoff, tx), self._clock.monotonic() - began

    async def _give_back(self) -> None:
        if self._store.in_memory:
            return
        pages, left = await self._store.read(_pages)
        while left > max(_FREE_PAGES, pages * _FREE_PART):
            before = left
            left = await self._store.vacuum(_VACUUM_PAGES)
            if left >= before:  # the file was made without the bookkeeping that this needs
                return
            await self._clock.sleep(_PAUSE_S)


def measure(tx: Tx, cutoff: int) -> Removable:
    """Count what a sweep would remove; reads the whole history."""
    seqs = (
        sa.select(events.c.seq)
        .where(
            events.c.occurred_at < cutoff,
            ~sa.exists().where(deliveries.c.event_seq == events.c.seq, _still_needed(cutoff)),
            ~_cause_is_undone(),
        )
        .subquery()
    )
    of_them = deliveries.c.event_seq.in_(sa.select(seqs.c.seq))
    ids = sa.select(deliveries.c.id).where(of_them)
    return Removable(
        events=int(tx.scalar(sa.select(sa.func.count()).select_from(seqs))),
        deliveries=int(tx.scalar(sa.select(sa.func.count()).where(of_them))),
        steps=int(tx.scalar(sa.select(sa.func.count()).where(steps.c.delivery_id.in_(ids)))),
    )


def _still_needed(cutoff: int) -> sa.ColumnElement[bool]:
    return sa.or_(
        deliveries.c.status.in_(_UNDONE),
        deliveries.c.finished_at.is_(None),
        deliveries.c.finished_at >= cutoff,
    )


def _cause_is_undone() -> sa.ColumnElement[bool]:
    # The story of a run stays whole for as long as the run goes on.
    cause = events.alias("cause")
    return sa.exists().where(
        cause.c.id == events.c.caused_by,
        deliveries.c.event_seq == cause.c.seq,
        deliveries.c.status.in_(_UNDONE),
    )


def _events_after() -> sa.Select[Any]:
    ended = sa.func.max(deliveries.c.finished_at)
    undone = sa.func.sum(
        sa.case((deliveries.c.status.in_(_UNDONE), 1), (deliveries.c.finished_at.is_(None), 1))
    )
    window = (
        sa.select(events.c.seq, events.c.occurred_at)
        .where(events.c.seq > sa.bindparam("after"))
        .order_by(events.c.seq)
        .limit(_WINDOW)
        .subquery()
    )
    return (
        sa.select(
            window.c.seq, window.c.occurred_at, ended.label("ended"), undone.label("undone"),
            sa.func.count(deliveries.c.id).label("number"),
        )
        .outerjoin(deliveries, deliveries.c.event_seq == window.c.seq)
        .group_by(window.c.seq, window.c.occurred_at)
        .order_by(window.c.seq)
    )  # fmt: skip


_EVENTS_AFTER = _events_after()


def _look_at_events(after: int, tx: Tx) -> Sequence[Any]:
    return tx.rows(_EVENTS_AFTER, {"after": after})


def _is_over(row: Any) -> bool:
    return row.number == 0 or not row.undone


def _moment(row: Any) -> int:
    """Return when the last thing happened to an event."""
    return max(int(row.occurred_at), int(row.ended or 0))


def _held_by_cause(seqs: Sequence[int], tx: Tx) -> set[int]:
    query = sa.select(events.c.seq).where(events.c.seq.in_(seqs), _cause_is_undone())
    return {row.seq for row in tx.rows(query)} if seqs else set()


def _look_at_deliveries(after: int, tx: Tx) -> Sequence[Any]:
    return tx.rows(
        sa.select(deliveries.c.id, deliveries.c.finished_at, deliveries.c.status)
        .where(deliveries.c.id > after)
        .order_by(deliveries.c.id)
        .limit(_WINDOW)
    )


def _laden(ids: Sequence[int], tx: Tx) -> list[int]:
    """Return those that still have steps or past failures."""
    if not ids:
        return []
    has_steps = sa.exists().where(steps.c.delivery_id == deliveries.c.id)
    query = sa.select(deliveries.c.id).where(
        deliveries.c.id.in_(ids),
        deliveries.c.status.not_in(_UNDONE),
        sa.or_(has_steps, deliveries.c.history.is_not(None)),
    )
    return [row.id for row in tx.rows(query)]


def _remove_events(seqs: Sequence[int], cutoff: int, tx: Tx) -> Counter[str]:
    # Looked at again in the transaction that removes: one may have been replayed just now.
    needed = sa.select(deliveries.c.event_seq).where(
        deliveries.c.event_seq.in_(seqs), _still_needed(cutoff)
    )
    kept = {row.event_seq for row in tx.rows(needed)}
    over = [seq for seq in seqs if seq not in kept]
    of_them = deliveries.c.event_seq.in_(over)
    ids = [row.id for row in tx.rows(sa.select(deliveries.c.id).where(of_them))]
    removed: Counter[str] = Counter()
    for table in (steps, run_states, waits, child_runs):
        removed[table.name] = tx.run(sa.delete(table).where(table.c.delivery_id.in_(ids)))
    removed["deliveries"] = tx.run(sa.delete(deliveries).where(deliveries.c.id.in_(ids)))
    removed["events"] = tx.run(sa.delete(events).where(events.c.seq.in_(over)))
    return +removed


def _remove_steps(ids: Sequence[int], cutoff: int, tx: Tx) -> Counter[str]:
    needed = sa.select(deliveries.c.id).where(deliveries.c.id.in_(ids), _still_needed(cutoff))
    kept = {row.id for row in tx.rows(needed)}
    over = [id for id in ids if id not in kept]
    number = tx.run(sa.delete(steps).where(steps.c.delivery_id.in_(over)))
    tx.run(sa.update(deliveries).where(deliveries.c.id.in_(over)).values(history=None))
    return +Counter(steps=number)


def _pages(tx: Tx) -> tuple[int, int]:
    pages = tx.scalar(sa.text("PRAGMA page_count"))
    return int(pages), int(tx.scalar(sa.text("PRAGMA freelist_count")))
