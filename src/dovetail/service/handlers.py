"""
``on`` and ``every``: decorators that annotate a function and change nothing else.

Nothing registers itself anywhere; the app finds annotated functions in the module it is given.
"""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import ModuleType
from typing import Any, TypeVar, get_args

from dovetail.core import json
from dovetail.core.cron import Cron, Interval, Timetable
from dovetail.core.cron import every as timetable
from dovetail.core.duration import parse_duration
from dovetail.errors import DeclarationError, VersionConflictError
from dovetail.model.entity import Entity
from dovetail.model.event import Event, EventType
from dovetail.runtime import flow as flows
from dovetail.runtime.context import current
from dovetail.runtime.flow import Batching, Concurrency, Debounce, Flow, Singleton, Throttle
from dovetail.runtime.handler import EventHandler, HandlerSpec, ListHandler
from dovetail.runtime.retry import Retry
from dovetail.runtime.schedule import Misfire, Schedule

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_TENANT = "default"
"""The tenant of a service that serves one business, and of the ticks of `every`."""

_ATTRIBUTE = "__dovetail__"


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a decorator noted on a function: events or a timetable, and how to run it."""

    retry: Retry
    patterns: tuple[str, ...] = ()
    entity: type[Any] | None = None
    when: Timetable | None = None
    flow: Flow = field(default_factory=Flow)
    misfire: Misfire = "once"
    jitter: timedelta = timedelta()


def on(
    *events: EventType[Any] | str,
    retry: Retry | None = None,
    concurrency: int | Concurrency | None = None,
    throttle: str | Throttle | None = None,
    debounce: str | timedelta | Debounce | None = None,
    batch: int | Batching | None = None,
    singleton: bool | str | Singleton = False,
    priority: str | int = "normal",
) -> Callable[[F], F]:
    """
    Run the function for these events: ``Contact.created``, ``"order.*"``, ``"*"``.

    The annotated parameter decides what the function gets: an entity (from the payload) or the
    `Event` itself. Without an annotation it gets the entity of the first event type, or the
    `Event` for a pattern. A function without parameters gets nothing. ``async def`` functions run
    on the event loop; plain ones in a thread, where ``db`` and ``send`` cannot be awaited.

    Args:
        events: Event types and patterns.
        retry: When to try again.
        concurrency: Runs at the same time: a number, or ``Concurrency(2, key=…)``.
        throttle: Starts within a length of time: ``"10/minute"``, or ``Throttle(…, key=…)``.
        debounce: One run with the latest event after so much quiet: ``"5 seconds"``.
        batch: One run with a list of at most so many: the parameter is a ``list[Order]``.
        singleton: One run at a time for each tenant: ``"queue"`` (or True), or ``"skip"``.
        priority: ``"high"``, ``"normal"``, ``"low"``, or turns in a round.

    Raises:
        DeclarationError: No event is given, something that is not an event type or pattern, or
            flow control that cannot be or cannot go together.
    """
    if not events:
        raise DeclarationError("on() needs at least one event, such as on(Contact.created).")
    patterns: list[str] = []
    entity: type[Any] | None = None
    for event in events:
        if isinstance(event, EventType):
            patterns.append(event.name)
            entity = entity or event.entity
        elif isinstance(event, str) and event.strip() and " " not in event:  # type: ignore[redundant-expr]
            patterns.append(event)
        else:
            raise DeclarationError(
                f"on() takes event types such as Contact.created, or patterns such as 'order.*'; "
                f"{event!r} is neither."
            )
    flow = Flow(
        concurrency=None if concurrency is None else flows.read_concurrency(concurrency),
        throttle=None if throttle is None else flows.read_throttle(throttle),
        debounce=None if debounce is None else flows.read_debounce(debounce),
        batch=None if batch is None else flows.read_batch(batch),
        singleton=flows.read_singleton(singleton),
        priority=flows.read_priority(priority),
    )
    trigger = Trigger(retry=retry or Retry(), patterns=tuple(patterns), entity=entity, flow=flow)
    return lambda function: _note(function, trigger)


def every(
    when: str | timedelta,
    *,
    timezone: str | None = None,
    retry: Retry | None = None,
    misfire: Misfire = "once",
    jitter: str | timedelta | None = None,
) -> Callable[[F], F]:
    """
    Run the function again and again: ``every("*/15 * * * *", timezone="Europe/Berlin")``.

    Args:
        when: A cron expression with five fields, or an interval: ``"15 minutes"``.
        timezone: Where the cron expression is read; UTC when not given.
        retry: When to try a failed tick again.
        misfire: What becomes of ticks that were missed while nothing ran: ``"once"`` makes one
            of them, ``"skip"`` none, ``"all"`` each (the last thousand).
        jitter: Run up to so much later, each tick by another part of it, so that many schedules
            of the same minute do not begin together.

    Raises:
        ConfigError: It is neither a cron expression nor a duration, the time zone is unknown, or
            the misfire policy is.
    """
    if misfire not in get_args(Misfire):
        raise DeclarationError(
            f"misfire={misfire!r} is none of {', '.join(map(repr, get_args(Misfire)))}."
        )
    trigger = Trigger(
        retry=retry or Retry(),
        when=timetable(when, timezone=timezone),
        misfire=misfire,
        jitter=timedelta() if jitter is None else parse_duration(jitter),
    )
    return lambda function: _note(function, trigger)


def collect(module: ModuleType) -> tuple[list[HandlerSpec], list[Schedule]]:
    """
    Return the handlers and schedules of the annotated functions that a module defines or imports.

    Raises:
        DeclarationError: A function's parameters do not fit its trigger.
    """
    handlers: list[HandlerSpec] = []
    schedules: list[Schedule] = []
    seen: set[int] = set()
    for value in vars(module).values():
        triggers: list[Trigger] = getattr(value, _ATTRIBUTE, [])
        if not triggers or not callable(value) or id(value) in seen:
            continue
        seen.add(id(value))
        for index, trigger in enumerate(triggers):
            suffix = "" if len(triggers) == 1 else f"#{index + 1}"
            name = f"{getattr(value, '__qualname__', repr(value))}{suffix}"
            if trigger.when is None:
                handlers.append(_handler(name, value, trigger))
            else:
                handler, schedule = _scheduled(name, value, trigger, trigger.when)
                handlers.append(handler)
                schedules.append(schedule)
    return handlers, schedules


def _note(function: F, trigger: Trigger) -> F:
    if not callable(function):
        raise DeclarationError(f"{function!r} is not a function; on() and every() decorate one.")
    noted: list[Trigger] = [*getattr(function, _ATTRIBUTE, []), trigger]
    setattr(function, _ATTRIBUTE, noted)
    return function


def _handler(name: str, function: Callable[..., Any], trigger: Trigger) -> HandlerSpec:
    if trigger.flow.batch is not None:
        return _list_handler(name, function, trigger)
    wanted = _parameter(name, function, trigger)
    run = _runner(function)

    async def call(event: Event) -> Any:
        if wanted is None:
            return await run()
        if issubclass(wanted, Entity):
            return await run(await _current(wanted) or _entity(name, wanted, event))
        return await run(event)

    call.__wrapped__ = function  # type: ignore[attr-defined]  # so that its source can be read
    return _spec(name, call, trigger)


def _list_handler(name: str, function: Callable[..., Any], trigger: Trigger) -> HandlerSpec:
    wanted = _parameter(name, function, trigger, listed=True)
    run = _runner(function)

    async def call(events: list[Event]) -> None:
        if wanted is not None and issubclass(wanted, Entity):
            await run([_entity(name, wanted, event) for event in events])
        else:
            await run(events)

    call.__wrapped__ = function  # type: ignore[attr-defined]  # so that it can be recognised
    return _spec(name, call, trigger)


def _spec(name: str, call: EventHandler | ListHandler, trigger: Trigger) -> HandlerSpec:
    limit = trigger.flow.concurrency
    flow = trigger.flow
    if limit is not None and limit.key is None:
        # A limit of the whole handler needs no gate: its turns know how many run.
        flow = replace(flow, concurrency=None)
    return HandlerSpec(
        name=name,
        patterns=trigger.patterns,
        call=call,
        retry=trigger.retry,
        concurrency=limit.limit if limit is not None and limit.key is None else None,
        flow=flow,
    )


def _scheduled(
    name: str, function: Callable[..., Any], trigger: Trigger, when: Timetable
) -> tuple[HandlerSpec, Schedule]:
    wanted = _parameter(name, function, trigger)
    if wanted not in (None, Event):
        raise DeclarationError(
            f"{name}() is run by every(); it may take no parameter, or one annotated as Event."
        )
    run = _runner(function)

    async def call(event: Event) -> Any:
        return await (run() if wanted is None else run(event))

    call.__wrapped__ = function  # type: ignore[attr-defined]  # so that its source can be read
    event_type = f"tick.{name}"
    handler = HandlerSpec(name=name, patterns=(event_type,), call=call, retry=trigger.retry)
    schedule = Schedule(
        name=name,
        event_type=event_type,
        timetable=when,
        business_id=DEFAULT_TENANT,
        misfire=trigger.misfire,
        jitter=trigger.jitter,
    )
    return handler, schedule


def _runner(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    if inspect.iscoroutinefunction(function):
        return function

    async def in_thread(*arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    return in_thread


def _parameter(
    name: str, function: Callable[..., Any], trigger: Trigger, *, listed: bool = False
) -> type[Event] | type[Entity] | None:
    """Return what the function takes (a list of): Event, an entity class, or nothing."""
    required = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if not required:
        if listed:
            raise DeclarationError(
                f"{name}() gathers a batch; it takes one parameter, such as orders: list[Order]."
            )
        return None
    if len(required) > 1:
        names = ", ".join(parameter.name for parameter in required)
        raise DeclarationError(
            f"{name}({names}) takes {len(required)} parameters; a handler takes one: the entity "
            "or the Event."
        )
    try:
        annotation = typing.get_type_hints(function).get(required[0].name)
    except NameError as error:
        raise DeclarationError(
            f"{name}(): the annotation of {required[0].name!r} cannot be read: {error}. "
            "Import the class at the top of the module, outside TYPE_CHECKING."
        ) from error
    annotation = _item(name, required[0].name, annotation, listed=listed)
    if annotation is Event:
        return Event
    if isinstance(annotation, type) and issubclass(annotation, Entity):
        return annotation
    if annotation is None or annotation is Any:
        entity = trigger.entity
        return entity if entity is not None and issubclass(entity, Entity) else Event
    raise DeclarationError(
        f"{name}(): {required[0].name!r} is annotated as {annotation!r}; a handler gets an entity "
        "(a subclass of Entity) or an Event."
    )


def _item(name: str, parameter: str, annotation: Any, *, listed: bool) -> Any:
    """Return what a list parameter is a list of, and any other annotation as it is."""
    is_list = typing.get_origin(annotation) is list
    if listed and annotation is not None and not is_list:
        raise DeclarationError(
            f"{name}() gathers a batch; annotate {parameter!r} as a list, such as "
            "list[Order] or list[Event]."
        )
    if is_list and not listed:
        raise DeclarationError(
            f"{name}(): {parameter!r} is annotated as a list; say how many to gather: "
            "on(…, batch=100)."
        )
    return typing.get_args(annotation)[0] if is_list else annotation


async def _current(wanted: type[Entity]) -> Entity | None:
    """
    Return the record as it is now, for a run that starts over because it had changed.

    The payload would be as old as before, and an update of it refused again.
    """
    context = current.get()
    delivery = context.delivery if context is not None else None
    if context is None or delivery is None or not delivery.history:
        return None
    if delivery.history[-1].get("code") != VersionConflictError.code:
        return None
    return await context.unit.find_one(wanted, id=str(delivery.event.payload.get("id")))


def _entity(name: str, wanted: type[Entity], event: Event) -> Entity:
    fields = dict(event.payload)
    fields.setdefault("business_id", event.business_id)
    try:
        return json.convert(fields, wanted)
    except ValueError as error:
        raise DeclarationError(
            f"{name}() wants a {wanted.__name__}, but the payload of {event.type} does not fit: "
            f"{error}. Annotate the parameter as Event to get the payload as it is."
        ) from error


__all__ = ["DEFAULT_TENANT", "Cron", "Interval", "Trigger", "collect", "every", "on"]
