"""
``on`` and ``every``: decorators that annotate a function and change nothing else.

Nothing registers itself anywhere; the app finds annotated functions in the module it is given.
"""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType
from typing import Any, TypeVar

from dovetail.core import json
from dovetail.core.cron import Cron, Interval, Timetable
from dovetail.core.cron import every as timetable
from dovetail.errors import DeclarationError, VersionConflictError
from dovetail.model.entity import Entity
from dovetail.model.event import Event, EventType
from dovetail.runtime.context import current
from dovetail.runtime.handler import HandlerSpec
from dovetail.runtime.retry import Retry
from dovetail.runtime.schedule import Schedule

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_TENANT = "default"
"""The tenant of a service that serves one business, and of the ticks of `every`."""

_ATTRIBUTE = "__dovetail__"


@dataclass(frozen=True, slots=True)
class Trigger:
    """What a decorator noted on a function: event patterns or a timetable, and how to retry."""

    retry: Retry
    patterns: tuple[str, ...] = ()
    entity: type[Any] | None = None
    when: Timetable | None = None


def on(*events: EventType[Any] | str, retry: Retry | None = None) -> Callable[[F], F]:
    """
    Run the function for these events: ``Contact.created``, ``"order.*"``, ``"*"``.

    The annotated parameter decides what the function gets: an entity (from the payload) or the
    `Event` itself. Without an annotation it gets the entity of the first event type, or the
    `Event` for a pattern. A function without parameters gets nothing. ``async def`` functions run
    on the event loop; plain ones in a thread, where ``db`` and ``send`` cannot be awaited.

    Raises:
        DeclarationError: No event is given, or something that is not an event type or pattern.
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
    trigger = Trigger(retry=retry or Retry(), patterns=tuple(patterns), entity=entity)
    return lambda function: _note(function, trigger)


def every(
    when: str | timedelta, *, timezone: str | None = None, retry: Retry | None = None
) -> Callable[[F], F]:
    """
    Run the function again and again: ``every("*/15 * * * *", timezone="Europe/Berlin")``.

    Args:
        when: A cron expression with five fields, or an interval: ``"15 minutes"``.
        timezone: Where the cron expression is read; UTC when not given.
        retry: When to try a failed tick again.

    Raises:
        ConfigError: It is neither a cron expression nor a duration, or the time zone is unknown.
    """
    trigger = Trigger(retry=retry or Retry(), when=timetable(when, timezone=timezone))
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
    wanted = _parameter(name, function, trigger)
    run = _runner(function)

    async def call(event: Event) -> None:
        if wanted is None:
            await run()
        elif issubclass(wanted, Entity):
            await run(await _current(wanted) or _entity(name, wanted, event))
        else:
            await run(event)

    return HandlerSpec(name=name, patterns=trigger.patterns, call=call, retry=trigger.retry)


def _scheduled(
    name: str, function: Callable[..., Any], trigger: Trigger, when: Timetable
) -> tuple[HandlerSpec, Schedule]:
    wanted = _parameter(name, function, trigger)
    if wanted not in (None, Event):
        raise DeclarationError(
            f"{name}() is run by every(); it may take no parameter, or one annotated as Event."
        )
    run = _runner(function)

    async def call(event: Event) -> None:
        await (run() if wanted is None else run(event))

    event_type = f"tick.{name}"
    handler = HandlerSpec(name=name, patterns=(event_type,), call=call, retry=trigger.retry)
    schedule = Schedule(
        name=name, event_type=event_type, timetable=when, business_id=DEFAULT_TENANT
    )
    return handler, schedule


def _runner(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    if inspect.iscoroutinefunction(function):
        return function

    async def in_thread(*arguments: Any) -> Any:
        return await asyncio.to_thread(function, *arguments)

    return in_thread


def _parameter(
    name: str, function: Callable[..., Any], trigger: Trigger
) -> type[Event] | type[Entity] | None:
    """Return what the function takes: Event, an entity class, or nothing."""
    required = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if not required:
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
