"""
Schedules: ticks are events with deterministic ids, so a tick happens once whoever sends it.

Ticks that were missed while nothing ran are sent as the schedule's misfire policy says: one of
them, none, or each of the last thousand. When the clock is set back, a tick that has been is not
sent again, unless the schedule asks for it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa

from dovetail.core.clock import Clock, from_micros, to_micros
from dovetail.core.cron import Timetable, ticks_until
from dovetail.core.ids import derive_id
from dovetail.core.log import get_logger
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.patience import Patience
from dovetail.runtime.store.port import Store, Tx, upsert
from dovetail.runtime.store.schema import schedules

Misfire = Literal["once", "skip", "all"]
"""What becomes of ticks that were missed."""

log = get_logger("dovetail.schedule")

# Long waits are cut into pieces, so that a changed system clock is noticed within a minute.
_LONGEST_WAIT_S = 60.0
# A clock that steps back by more than this was wrong before; by less, it is being kept right.
_SET_BACK = timedelta(seconds=60)
# Later than this, a tick was missed; earlier, the process was busy.
_GRACE = timedelta(seconds=60)
_MOST_MISSED = 1_000

_NOTE_DUE = upsert(schedules, "last_due_at")


@dataclass(frozen=True, slots=True)
class Schedule:
    """
    Something that happens again and again.

    Args:
        name: Unique and stable; part of what is stored.
        event_type: The type of the events it sends; their key is `name` unless `key` is given.
        timetable: When it is due.
        payload: Goes into each tick, beside ``due_at``.
        repeats: What it starts may be done twice but must go on: when the clock is set back, the
            ticks of the hours that come again are sent again.
        misfire: What becomes of ticks that were missed while nothing ran.
        jitter: Each tick is delivered up to so much later, by a part that follows from its id.
    """

    name: str
    event_type: str
    timetable: Timetable
    business_id: str = ""
    key: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    repeats: bool = False
    misfire: Misfire = "once"
    jitter: timedelta = timedelta()


class Scheduler:
    """Sends the ticks of its schedules."""

    def __init__(self, store: Store, log: EventLog, clock: Clock, patience: Patience) -> None:
        self._store = store
        self._log = log
        self._clock = clock
        self._patience = patience
        self._tasks: dict[str, tuple[Schedule, asyncio.Task[None]]] = {}

    def replace(self, items: Sequence[Schedule]) -> None:
        """Run exactly these: new ones begin, absent ones end, the others go on undisturbed."""
        wanted = {item.name: item for item in items}
        for name, (running, task) in list(self._tasks.items()):
            if wanted.get(name) != running:
                task.cancel()
                del self._tasks[name]
        for name, item in wanted.items():
            if name not in self._tasks:
                task = asyncio.create_task(self._run(item), name=f"schedule-{name}")
                self._tasks[name] = (item, task)

    async def stop(self) -> None:
        """Send no more ticks."""
        tasks = [task for _, task in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, item: Schedule) -> None:
        newest = await self._patience.insist(
            lambda: self._store.read(lambda tx: _last_due(tx, item.name))
        )
        seen = newest or self._clock.now()
        due = item.timetable.next_after(seen)
        while True:
            now = self._clock.now()
            if seen - now > _SET_BACK:
                log.warning("clock_set_back", schedule=item.name, was=seen.isoformat())
                due = item.timetable.next_after(now)
            seen = now
            if due > now:
                wait_s = min((due - now).total_seconds(), _LONGEST_WAIT_S)
                await self._clock.sleep(wait_s)
                continue
            latest = due
            for tick in self._missed(item, due, now):
                await self._patience.insist(partial(self._tick, item, tick, newest))
                newest = max(tick, newest or tick)
                latest = tick
            due = item.timetable.next_after(max(latest, now))

    def _missed(self, item: Schedule, due: datetime, now: datetime) -> list[datetime]:
        """Return which of the ticks from *due* to *now* are sent, by the misfire policy."""
        ticks = ticks_until(item.timetable, due, now, _MOST_MISSED if item.misfire == "all" else 1)
        if item.misfire == "skip" and now - ticks[-1] > _GRACE:
            log.info("ticks_skipped", schedule=item.name, since=due.isoformat())
            return []
        if len(ticks) == _MOST_MISSED:
            log.warning("ticks_dropped", schedule=item.name, kept=_MOST_MISSED)
        return ticks

    async def _tick(self, item: Schedule, due: datetime, newest: datetime | None) -> None:
        parts = ["tick", item.name]
        if item.repeats and newest is not None and due <= newest:
            parts.append(f"before {newest.isoformat()}")
        draft = EventDraft(
            id=derive_id(due, *parts),
            type=item.event_type,
            key=item.key or item.name,
            payload={**item.payload, "due_at": due.isoformat()},
            business_id=item.business_id,
            source=f"schedule:{item.name}",
            occurred_at=due,
            due_at=due + _part_of(item.jitter, item.name, due) if item.jitter else None,
        )
        last = max(due, newest or due)
        await self._store.write(lambda tx: _send_tick(tx, self._log, draft, item.name, last))


def _part_of(jitter: timedelta, name: str, due: datetime) -> timedelta:
    # From the tick alone, so that whoever sends it delays it by the same.
    digest = hashlib.blake2b(f"{name} {to_micros(due)}".encode(), digest_size=4).digest()
    return jitter * (int.from_bytes(digest) / 2**32)


def _last_due(tx: Tx, name: str) -> datetime | None:
    found = tx.scalar(sa.select(schedules.c.last_due_at).where(schedules.c.name == name))
    return from_micros(found) if found is not None else None


def _send_tick(tx: Tx, log: EventLog, draft: EventDraft, name: str, last: datetime) -> None:
    log.append(tx, [draft])
    tx.run(_NOTE_DUE(tx), {"name": name, "last_due_at": to_micros(last)})
