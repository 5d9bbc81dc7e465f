"""
``step``: recorded parts of a run, and what makes long runs of them.

::

    booking = await step("book", book, order, undo=cancel_booking)
    await step.sleep("2 days")
    payment = await step.wait_for(Payment.succeeded, where={"order_id": order.id}, timeout="3 days")
    first, second = await step.gather(step.later("a", fetch, 1), step.later("b", fetch, 2))
    receipt = await step.run(charge, order)
    await step.compensate()
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar, overload

from dovetail.core import json
from dovetail.errors import UsageError
from dovetail.model.entity import Entity
from dovetail.model.event import Event, EventType
from dovetail.runtime.child_call import ChildCall, Payload, child_call, gather
from dovetail.runtime.condition import plain_conditions
from dovetail.runtime.context import RunContext, require_context
from dovetail.runtime.event_payload import event_name
from dovetail.runtime.query import build_query
from dovetail.runtime.saga import compensate
from dovetail.runtime.workflow import Later, sleep_for, sleep_until, wait_for

T = TypeVar("T")
E = TypeVar("E")

Since = Literal["start"] | Event | None


class Steps:
    """
    Recorded parts of a run.

    Identified by name and key, and by how often those were used before in the run, so that steps
    may be moved, added and removed between deploys.
    """

    @overload
    async def __call__(
        self,
        name: str,
        call: Callable[..., Awaitable[T]],
        *args: Any,
        key: str | int = "",
        undo: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> T: ...

    @overload
    async def __call__(
        self,
        name: str,
        call: Callable[..., T],
        *args: Any,
        key: str | int = "",
        undo: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> T: ...

    async def __call__(
        self,
        name: str,
        call: Callable[..., Any],
        *args: Any,
        key: str | int = "",
        undo: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Run a side effect once in the life of the run: after a crash, its result is returned.

        Args:
            name: What the step is called; stable across deploys.
            call: A coroutine function, or a plain one, which runs in a thread.
            args: Given to *call*.
            key: Tells steps of one name apart: the id of the order line that is charged.
            undo: Takes the step back, given its result, when the run fails for good or is
                cancelled.
            kwargs: Given to *call*.

        Raises:
            ReplayMismatchError: The step was recorded with other arguments.
            UsageError: The result is not data, or the journal of the run is full.
        """
        context = require_context("step")
        return await context.step(name, call, *args, key=key, undo=undo, **kwargs)

    async def sleep(
        self, duration: timedelta | str | float, *, name: str = "sleep", key: str | int = ""
    ) -> None:
        """
        Go on after a length of time: ``"2 days"``, a timedelta, or seconds.

        The run is suspended: what it has written and sent so far commits, and it holds nothing
        while it sleeps. It never goes on earlier by the clock, and survives restarts. A new
        duration in changed code does not move a sleep that has begun.
        """
        await sleep_for(_run("step.sleep"), duration, name, str(key))

    async def sleep_until(
        self, moment: datetime, *, name: str = "sleep", key: str | int = ""
    ) -> None:
        """Go on at a moment (an aware datetime); see `sleep`."""
        await sleep_until(_run("step.sleep_until"), moment, name, str(key))

    @overload
    async def wait_for(
        self,
        event: EventType[E],
        /,
        *,
        where: dict[str, Any] | None = None,
        timeout: timedelta | str | float | None = None,
        since: Since = None,
        name: str = "",
        key: str | int = "",
    ) -> E: ...

    @overload
    async def wait_for(
        self,
        event: str,
        /,
        *,
        where: dict[str, Any] | None = None,
        timeout: timedelta | str | float | None = None,
        since: Since = None,
        name: str = "",
        key: str | int = "",
    ) -> Event: ...

    @overload
    async def wait_for(
        self,
        event: EventType[Any] | str,
        second: EventType[Any] | str,
        /,
        *others: EventType[Any] | str,
        where: dict[str, Any] | None = None,
        timeout: timedelta | str | float | None = None,
        since: Since = None,
        name: str = "",
        key: str | int = "",
    ) -> Event: ...

    async def wait_for(
        self,
        *events: EventType[Any] | str,
        where: dict[str, Any] | None = None,
        timeout: timedelta | str | float | None = None,
        since: Since = None,
        name: str = "",
        key: str | int = "",
    ) -> Any:
        """
        Go on when an event of the run's tenant arrives; the run is suspended as in `sleep`.

        Args:
            events: ``Payment.succeeded`` gives the Payment; a name, or several types, the Event.
            where: What fields of the payload must be: values, or operators as ``db`` has them.
            timeout: How long to wait at most; for ever when not given.
            since: Count events that came earlier, too: ``"start"`` after the event that started
                this run, or after an Event. Without it, events count from the moment the run
                waits: one that was faster than that is not seen.
            name: Of the entry in the journal; made of the event types when not given.
            key: Tells waits of one name apart.

        Raises:
            WaitTimeoutError: No event came in time.
        """
        context = _run("step.wait_for")
        names = [event_name(event) for event in events]
        if not names:
            raise UsageError("step.wait_for() needs an event type, such as Payment.succeeded.")
        entity = _entity_of(events)
        if entity is not None and where:
            build_query(entity, where)  # a field that the entity does not have would never fit
        after = context.event if since == "start" else since
        event = await wait_for(
            context,
            names,
            conditions=plain_conditions(where or {}),
            timeout=timeout,
            since=None if after is None else after.seq,
            name=name or f"wait for {', '.join(names)}",
            key=str(key),
        )
        if entity is None:
            return event
        return json.convert({"business_id": event.business_id, **event.payload}, entity)

    def later(
        self,
        name: str,
        call: Callable[..., Any],
        *args: Any,
        key: str | int = "",
        undo: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Later:
        """Describe a step for `gather`; the arguments are those of a step."""
        return Later(name, call, args, {"key": key, "undo": undo, **kwargs})

    @overload
    def run(
        self,
        handler: Callable[..., Awaitable[T]],
        payload: Payload = None,
        /,
        *,
        key: str | int = "",
        timeout: timedelta | str | float | None = None,
        undo: Callable[..., Any] | None = None,
        **fields: Any,
    ) -> ChildCall[T]: ...

    @overload
    def run(
        self,
        handler: Callable[..., T],
        payload: Payload = None,
        /,
        *,
        key: str | int = "",
        timeout: timedelta | str | float | None = None,
        undo: Callable[..., Any] | None = None,
        **fields: Any,
    ) -> ChildCall[T]: ...

    @overload
    def run(
        self,
        handler: str,
        payload: Payload = None,
        /,
        *,
        key: str | int = "",
        timeout: timedelta | str | float | None = None,
        undo: Callable[..., Any] | None = None,
        **fields: Any,
    ) -> ChildCall[Any]: ...

    def run(
        self,
        handler: Callable[..., Any] | str,
        payload: Payload = None,
        /,
        *,
        key: str | int = "",
        timeout: timedelta | str | float | None = None,
        undo: Callable[..., Any] | None = None,
        **fields: Any,
    ) -> ChildCall[Any]:
        """
        Run another handler as a run of its own, and go on with what it returned.

        ``receipt = await step.run(charge, order)``; or several side by side, in `gather`. The
        child has its own tries, story and dead letter. It starts once for each key in the life of
        this run, which is suspended as in `sleep` until the child ends. What this run has written
        and sent by then is committed first.

        Args:
            handler: A function with ``on`` or ``every``, or the name of a handler. Nobody else is
                told: other handlers of its events do not run.
            payload: What it gets: an entity, a dict, or an Event; or give its fields by keyword.
            key: Tells child runs of one handler apart: the id of the order line.
            timeout: How long to wait at most, before the child is stopped.
            undo: Takes back what the child did, given what it returned.
            fields: The payload's fields.

        Raises:
            ChildFailedError: The child has died, or was cancelled or skipped.
            WaitTimeoutError: It was not done in time.
            UsageError: There is no such handler, or it has no run for each event.
        """
        return child_call(
            _run("step.run"),
            handler,
            payload,
            fields,
            key=str(key),
            timeout=timeout,
            undo=undo,
        )

    async def gather(self, *members: Later | ChildCall[Any]) -> list[Any]:
        """
        Run steps (`later`) and other handlers (`run`) side by side; return their results in order.

        Each is recorded when it is done; one that fails does not stop the others or lose what
        they return. When all have ended, the error of one that failed is raised.
        """
        return await gather(_run("step.gather"), members)

    async def compensate(self) -> None:
        """
        Undo the steps that the run has done so far, the latest first.

        For use in an ``except``: afterwards the handler goes on, and may end in an ordinary way.
        A run that fails for good does it by itself.
        """
        await compensate(_run("step.compensate"))


def _run(what: str) -> RunContext:
    context = require_context(what)
    if not isinstance(context, RunContext):
        raise UsageError(
            f"{what} needs the run of a handler: neither a session nor a handler of a list of "
            "events can be resumed."
        )
    return context


def _entity_of(events: tuple[EventType[Any] | str, ...]) -> type[Entity] | None:
    if len(events) != 1 or not isinstance(events[0], EventType):
        return None
    entity: type[Any] = events[0].entity
    return entity if issubclass(entity, Entity) else None


step = Steps()
