"""
Calling handlers as child runs: what ``step.run`` and ``step.gather`` do in the run that calls.

    first pass   the run is suspended, and the children start as that commits
    later        the last of them has ended: the handler goes on with what they returned
                 steps beside them are done meanwhile, in a pass of their own
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from dovetail.core import json
from dovetail.core.clock import to_micros
from dovetail.core.duration import parse_duration
from dovetail.errors import ChildFailedError, UsageError, WaitTimeoutError
from dovetail.model.entity import Entity
from dovetail.model.event import Event
from dovetail.runtime.cancellation import request_cancel
from dovetail.runtime.child_run import CANCELLED, SKIPPED, give_up_child
from dovetail.runtime.child_wait import ChildStart, ChildWait
from dovetail.runtime.context import Host, RunContext, mismatch_error, reference_of
from dovetail.runtime.delivery import RUN_PREFIX
from dovetail.runtime.event_payload import event_payload
from dovetail.runtime.handler import HandlerSpec
from dovetail.runtime.journal import Place
from dovetail.runtime.log import EventDraft
from dovetail.runtime.step_input import mark_input, read_value
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import CHILD
from dovetail.runtime.suspension import FOR_EVER
from dovetail.runtime.workflow import Later, next_place, raise_failed, side_by_side, suspend

T = TypeVar("T")
Payload = Entity | Event | Mapping[str, Any] | None


@dataclass(slots=True, eq=False)
class ChildCall(Generic[T]):
    """A child run that is described: started by ``await``, or beside others by `gather`."""

    context: RunContext
    spec: HandlerSpec
    draft: EventDraft
    given: str
    key: str
    timeout: timedelta | None
    undo: Callable[..., Any] | None
    is_used: bool = False

    @property
    def function(self) -> Callable[..., Any]:
        """What the handler's author wrote."""
        function: Callable[..., Any] = inspect.unwrap(self.spec.call)
        return function

    def __await__(self) -> Generator[Any, None, T]:
        """Run the handler and return what it returned."""
        self.is_used = True
        return _run_alone(self).__await__()

    def __del__(self) -> None:
        """Warn, as of a coroutine: without ``await`` nothing was run."""
        if not self.is_used:
            warnings.warn(f"step.run({self.spec.name}) was never awaited", RuntimeWarning, 2)


class _Met(NamedTuple):
    """A call and what is recorded of it: nothing, that it goes on, or how it ended."""

    call: ChildCall[Any]
    place: Place
    outcome: dict[str, Any] | None

    @property
    def is_open(self) -> bool:
        return self.outcome is not None and "until" in self.outcome

    @property
    def due_at(self) -> int:
        """When it has had its time."""
        until: int | None = (self.outcome or {}).get("until")
        return until or FOR_EVER


def child_call(
    context: RunContext,
    handler: Callable[..., Any] | str,
    payload: Payload,
    fields: Mapping[str, Any],
    *,
    key: str,
    timeout: timedelta | str | float | None,
    undo: Callable[..., Any] | None,
) -> ChildCall[Any]:
    """
    Describe a child run.

    Raises:
        UsageError: There is no such handler, it cannot be a child run, or the payload is not data
            or belongs to another tenant.
    """
    host = _host(context)
    spec = host.log.subscriptions.of_child(handler)
    event = payload if isinstance(payload, Event) else None
    given = event.payload if event is not None else payload
    if given is not None and not isinstance(given, Entity | Mapping):
        raise UsageError(
            f"step.run({spec.name}) was given a {type(given).__name__}: give an entity, an Event, "
            "a dict, or fields by keyword."
        )
    tenant = context.unit.business_id
    data = event_payload(f"{RUN_PREFIX}{spec.name}", given, fields)
    if data.get("business_id") not in (None, "", tenant):
        raise UsageError(
            f"step.run({spec.name}) was given data of the tenant {data['business_id']!r}, and this "
            f"run belongs to {tenant!r}. A child run is of the tenant of its parent.",
            field="business_id",
        )
    draft = EventDraft(
        type=f"{RUN_PREFIX}{spec.name}",
        payload=data,
        business_id=tenant,
        source=f"handler:{context.run.handler}",
        key=event.key if event is not None else None,
        caused_by=context.event.id,
    )
    return ChildCall(
        context=context,
        spec=spec,
        draft=draft,
        given=mark_input((payload,), dict(fields)),
        key=key,
        timeout=None if timeout is None else parse_duration(timeout),
        undo=undo,
    )


async def gather(context: RunContext, members: Sequence[Later | ChildCall[Any]]) -> list[Any]:
    """
    Run steps and child runs side by side and return their results in order.

    All come to their ends, whatever becomes of the others. When some failed, the error of one is
    raised, one that no other try can mend before one that it may.
    """
    laters = [one for one in members if isinstance(one, Later)]
    calls = [one for one in members if isinstance(one, ChildCall)]
    for call in calls:
        call.is_used = True
    met = await _begin(context, calls, has_more=bool(laters)) if calls else []
    done = iter(await side_by_side(context, laters))
    ended = iter(await _end(context, met))
    names = [one.name if isinstance(one, Later) else str(one.spec.name) for one in members]
    outcomes = [next(done) if isinstance(one, Later) else next(ended) for one in members]
    _name_all_failed(outcomes)
    raise_failed(list(zip(names, outcomes, strict=True)))
    return outcomes


async def _run_alone(call: ChildCall[Any]) -> Any:
    (result,) = await gather(call.context, [call])
    return result


async def _begin(
    context: RunContext, calls: Sequence[ChildCall[Any]], *, has_more: bool
) -> list[_Met]:
    """Return what is recorded of the calls; where one has not begun, begin instead."""
    met = [await _meet(context, call) for call in calls]
    if context.suspension is not None:
        raise context.suspension.signal()
    fresh = [one for one in met if one.outcome is None]
    if fresh:
        context.check(fresh[0].place)
        raise _start(context, met, has_more=has_more)
    if context.cancelling and any(one.is_open for one in met):
        raise _go_on_waiting(context, met)
    return met


async def _meet(context: RunContext, call: ChildCall[Any]) -> _Met:
    place = await next_place(context, CHILD, call.spec.name, call.key)
    if call.undo is not None:
        context.note_undo(place, call.undo, call.function)
    entry = context.journal.entries.get(place)
    if entry is None:
        return _Met(call, place, None)
    if entry.input_hash != call.given:
        raise mismatch_error(context.delivery_id, place, entry, call.given, call.function)
    return _Met(call, place, json.decode(entry.result))


def _start(context: RunContext, met: Sequence[_Met], *, has_more: bool) -> BaseException:
    now = context.clock.now()
    starts: list[ChildStart] = []
    for one in met:
        if one.outcome is not None:
            continue
        call, until = one.call, None
        if call.timeout is not None:
            until = to_micros(now + call.timeout)
        row = context.journal.row(
            one.place,
            b"{}",
            started_at=to_micros(now),
            input_hash=call.given,
            undo=None if call.undo is None else reference_of(call.undo),
        )
        starts.append(ChildStart(one.place, row, call.draft, call.spec.name, until))
    due_at = min([one.until or FOR_EVER for one in starts] + [_due_at(met)])
    wait = ChildWait(_host(context).log, tuple(starts), at_once=has_more)
    return suspend(context, met[0].place, due_at, None, wait)


def _go_on_waiting(context: RunContext, met: Sequence[_Met]) -> BaseException:
    wait = ChildWait(_host(context).log)
    return suspend(context, met[0].place, _due_at(met), None, wait)


def _due_at(met: Sequence[_Met]) -> int:
    """Return when the first of the open ones has had its time."""
    return min((one.due_at for one in met), default=FOR_EVER)


async def _end(context: RunContext, met: list[_Met]) -> list[Any]:
    """Return results and errors of children that have all ended; wait on where one has not."""
    now = to_micros(context.clock.now())
    for index, one in enumerate(met):
        if one.due_at <= now:
            met[index] = one._replace(outcome=await _give_up(context, one, now))
    if any(one.is_open for one in met):
        raise _go_on_waiting(context, met)
    return [_result(context, one) for one in met]


async def _give_up(context: RunContext, one: _Met, now: int) -> dict[str, Any]:
    """Stop a child that is not done in time, unless it is just now; return its outcome."""
    host = _host(context)
    reason = f"It was not done in the time that run {context.delivery_id} gave it."

    def work(tx: Tx) -> dict[str, Any]:
        outcome = give_up_child(tx, context.delivery_id, one.place, now)
        if "timed_out" in outcome:
            request_cancel(tx, outcome["run"], reason, now)
            tx.after_commit(host.log.on_scheduled)
        return outcome

    outcome = await context.store.write(work)
    await host.look_for_stops()
    return outcome


def _result(context: RunContext, one: _Met) -> Any:
    outcome = one.outcome or {}
    if "result" in outcome:
        return read_value(outcome["result"], one.call.function)
    if context.cancelling:
        context.check(one.place)  # it was stopped because this run is
    run, handler = outcome.get("run"), one.call.spec.name
    if "timed_out" in outcome:
        return WaitTimeoutError(
            f"Run {run} of {handler}, which this run had started, was not done in time and is "
            "stopped.",
            run=run,
            runs=[run],
            handler=handler,
        )
    return _failure(context.delivery_id, handler, outcome)


def _failure(parent: int, handler: str, outcome: dict[str, Any]) -> ChildFailedError:
    run, status = outcome.get("run"), outcome.get("status")
    error: dict[str, Any] = outcome.get("error", {})
    if status in (SKIPPED, CANCELLED):
        told = f"was {status}. A replay of this run starts it anew"
    else:
        told = (
            f"died: {_root(error).get('message', '')} Put the cause right and run "
            f"`dovetail dead replay {parent}`, which replays run {run}, too, and goes on with "
            "what that returns; or starts everything anew, where this run was undone"
        )
    return ChildFailedError(
        f"Run {run} of {handler}, which this run had started, {told}; catch ChildFailedError to "
        "go on without it.",
        run=run,
        runs=[run],
        handler=handler,
        status=status,
        error=error,
    )


def _root(error: dict[str, Any]) -> dict[str, Any]:
    """Return what it all began with: the error of the child of the child."""
    while error.get("code") == ChildFailedError.code and error.get("facts", {}).get("error"):
        error = error["facts"]["error"]
    return error


def _name_all_failed(outcomes: Sequence[Any]) -> None:
    """Let each error name every child that failed: a replay of the parent replays them all."""
    failed = [
        one
        for one in outcomes
        if isinstance(one, ChildFailedError | WaitTimeoutError) and "runs" in one.facts
    ]
    runs = [run for one in failed for run in one.facts["runs"] if run is not None]
    for one in failed:
        one.facts["runs"] = runs


def _host(context: RunContext) -> Host:
    if context.host is None:
        raise UsageError(
            "step.run() cannot be used in an undo function: send an event instead, which another "
            "handler handles."
        )
    return context.host
