"""
What makes a handler a workflow: sleeping, waiting for events, steps side by side, undoing.

A run that sleeps or waits is suspended: the handler is unwound, and run again from the top when the
moment has come; its recorded steps are not done again. It lets go of its lane: later events of the
same key go on meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dovetail.core import json
from dovetail.core.clock import to_micros
from dovetail.core.duration import parse_duration
from dovetail.errors import UsageError, WaitTimeoutError
from dovetail.model.event import Event
from dovetail.runtime.context import RunContext
from dovetail.runtime.history import find_event
from dovetail.runtime.journal import Place
from dovetail.runtime.replayed_unit import written
from dovetail.runtime.retry import RETRYABLE
from dovetail.runtime.store.schema import COMMIT, SLEEP, WAIT
from dovetail.runtime.suspension import FOR_EVER, Awaited, Suspension, plain_moment
from dovetail.runtime.wait import Wait, record_timeout


@dataclass(frozen=True, slots=True)
class Later:
    """A step that is described now and run by `gather`."""

    name: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


async def sleep_for(
    context: RunContext, duration: timedelta | str | float, name: str, key: str
) -> None:
    """Suspend the run for a length of time, once."""
    length = parse_duration(duration)
    await _sleep(context, lambda: context.clock.now() + length, name, key)


async def sleep_until(context: RunContext, moment: datetime, name: str, key: str) -> None:
    """
    Suspend the run until a moment, once; not at all when that has been.

    Raises:
        UsageError: The moment has no time zone.
    """
    if moment.tzinfo is None:
        raise UsageError(
            f"step.sleep_until({moment.isoformat()}) does not say in which time zone. Give an "
            "aware datetime, such as now() + timedelta(days=2)."
        )
    await _sleep(context, lambda: moment, name, key)


async def wait_for(
    context: RunContext,
    event_types: Sequence[str],
    *,
    conditions: dict[str, Any],
    timeout: timedelta | str | float | None,
    since: int | None,
    name: str,
    key: str,
) -> Event:
    """
    Suspend the run until an event arrives, and return it.

    Raises:
        WaitTimeoutError: None came in time.
    """
    place = await next_place(context, WAIT, name, key)
    entry = context.journal.entries.get(place)
    if entry is None:
        context.check(place)
        due_at = FOR_EVER
        if timeout is not None:
            due_at = to_micros(context.clock.now() + parse_duration(timeout))
        result = plain_moment(due_at)
    else:
        outcome: dict[str, Any] = json.decode(entry.result)
        due_at = outcome.get("until") or FOR_EVER
        if "until" in outcome and to_micros(context.clock.now()) >= due_at:
            now = to_micros(context.clock.now())
            outcome = await context.store.write(
                lambda tx: record_timeout(tx, context.delivery_id, place, now)
            )
        if "event" in outcome:
            return await _arrived(context, outcome["event"])
        if "timed_out" in outcome:
            raise WaitTimeoutError(
                f"No {' or '.join(event_types)} that fits came in time ({place}).",
                event_types=list(event_types),
                where=conditions,
            )
        context.check(place)
        result = None
    wait = Wait(place, context.unit.business_id, tuple(event_types), conditions, since)
    raise suspend(context, place, due_at, result, wait)


async def side_by_side(context: RunContext, laters: Sequence[Later]) -> list[Any]:
    """
    Run steps at the same time; return their results and errors, in order.

    Every step runs to its end and is recorded, whatever becomes of the others.
    """
    await context.journal.load()
    return await asyncio.gather(
        *(context.step(one.name, one.call, *one.args, **one.kwargs) for one in laters),
        return_exceptions=True,
    )


def raise_failed(outcomes: Sequence[tuple[str, Any]]) -> None:
    """
    Raise the error of one that failed, by name and outcome, if any did.

    One that no other try can mend goes before one that it may.
    """
    failed = [(name, one) for name, one in outcomes if isinstance(one, BaseException)]
    if not failed:
        return
    signals = [error for _, error in failed if not isinstance(error, Exception)]
    if signals:
        raise signals[0]
    final = [error for _, error in failed if not isinstance(error, RETRYABLE)]
    raised = (final or [error for _, error in failed])[0]
    others = [f"{name}: {error}" for name, error in failed if error is not raised]
    if others:
        raised.add_note(f"Other steps failed, too: {'; '.join(others)}")
    raise raised


async def _sleep(context: RunContext, until: Callable[[], datetime], name: str, key: str) -> None:
    place = await next_place(context, SLEEP, name, key)
    entry = context.journal.entries.get(place)
    if entry is not None:
        due_at = int(json.decode(entry.result)["until"])
        if to_micros(context.clock.now()) >= due_at:
            return
        # Woken before its time: by a cancellation, or by a clock that was set back.
        context.check(place)
        raise suspend(context, place, due_at, None, None)
    context.check(place)
    due_at = to_micros(until())
    if due_at <= to_micros(context.clock.now()):
        row = context.journal.row(
            place, plain_moment(due_at), started_at=to_micros(context.clock.now())
        )
        await context.journal.record(row)
        return
    raise suspend(context, place, due_at, plain_moment(due_at), None)


async def next_place(context: RunContext, kind: int, name: str, key: str) -> Place:
    """
    Return the next place of something that may suspend the run.

    Raises:
        UsageError: This run cannot be suspended, or not from here.
    """
    if not context.can_suspend:
        raise UsageError(
            f"{name}: only a run that serves one event, to its end, can sleep or wait; a debounced "
            "handler, a singleton that skips, or an undo function cannot."
        )
    if asyncio.current_task() is not context.task:
        raise UsageError(
            f"{name}: a run sleeps and waits as a whole, so step.sleep and step.wait_for cannot "
            "be used in a task beside it (asyncio.gather, create_task, wait_for). Use them one "
            "after the other; step.gather runs steps side by side."
        )
    await context.journal.load()
    return context.journal.place(kind, name, key)


def suspend(
    context: RunContext, place: Place, due_at: int, result: bytes | None, wait: Awaited | None
) -> BaseException:
    """Note the suspension in the context and return what unwinds the handler."""
    now = to_micros(context.clock.now())
    unit = context.unit.snapshot()
    entries: list[dict[str, Any]] = []
    if result is not None:
        entries.append(context.journal.row(place, result, started_at=now))
    if unit.dirty:
        commit = Place(COMMIT, "commit", "", len(context.journal.entries))
        done = json.encode(written(unit.operations))
        entries.append(context.journal.row(commit, done, started_at=now))
    context.suspension = Suspension(context.delivery_id, due_at, unit, entries, wait)
    return context.suspension.signal()


async def _arrived(context: RunContext, seq: int) -> Event:
    event = await context.store.read(lambda tx: find_event(tx, str(seq)))
    if event is None:
        raise UsageError(
            f"The event {seq} that run {context.delivery_id} waited for is not in the log any "
            "more; keep events for longer than runs may last."
        )
    return event
