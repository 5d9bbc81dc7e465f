"""What is to be run for which events: handler declarations and the table of who listens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dovetail.errors import DeclarationError
from dovetail.model.event import Event
from dovetail.runtime.flow import Flow
from dovetail.runtime.retry import Retry

Outcome = BaseException | None
EventHandler = Callable[[Event], Awaitable[Any]]
BatchHandler = Callable[[list[Event]], Awaitable[Sequence[Outcome]]]
ListHandler = Callable[[list[Event]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Batch:
    """
    How events of different keys are gathered into one call of a batch handler.

    Args:
        size: Events at most.
        group: Only events with the same group go together (one connection, one resource).
        concurrency: Batches of one group that may run at the same time.
        linger_s: How long to wait for more when fewer than *size* are ready.
    """

    size: int
    group: Callable[[Event], str]
    concurrency: int = 1
    linger_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """
    One handler.

    Args:
        name: Unique in the app and stable across deploys: it is part of what is stored.
        patterns: Event types: ``contact.created``, ``order.*``, ``*``.
        call: ``async (Event) -> Any``; or, with `batch`, ``async (list[Event]) -> outcomes``,
            one per event in order: None when done, the error otherwise.
        retry: When to try again.
        batch: Gather events of different keys into one call.
        coalesce: Level-triggered: all waiting events of one key are served by one run, which
            gets the latest of them.
        accepts: A last look before a delivery is made; events it refuses are not delivered.
        concurrency: Runs of this handler at the same time; as many as others leave, if None.
        flow: What holds its runs back; see `dovetail.runtime.flow`. A handler with ``flow.batch``
            is called with a list of events.
    """

    name: str
    patterns: tuple[str, ...]
    call: EventHandler | BatchHandler | ListHandler
    retry: Retry = field(default_factory=Retry)
    batch: Batch | None = None
    coalesce: bool = False
    accepts: Callable[[Event], bool] | None = None
    concurrency: int | None = None
    flow: Flow = field(default_factory=Flow)


def matches(pattern: str, event_type: str) -> bool:
    """
    Return whether an event type fits a pattern.

    ``*`` alone fits everything; as the last part it fits any rest (``order.*`` fits
    ``order.item.added``); elsewhere it fits exactly one part (``*.created``).
    """
    if pattern in ("*", event_type):
        return True
    wanted, parts = pattern.split("."), event_type.split(".")
    for index, part in enumerate(wanted):
        if part == "*" and index == len(wanted) - 1:
            return len(parts) > index
        if index >= len(parts) or part not in ("*", parts[index]):
            return False
    return len(wanted) == len(parts)


class Subscriptions:
    """Who listens to what: the fan-out from an event type to its handlers."""

    def __init__(self, handlers: Sequence[HandlerSpec]) -> None:
        self.by_name: dict[str, HandlerSpec] = {}
        for handler in handlers:
            if handler.name in self.by_name:
                raise DeclarationError(
                    f"Two handlers are called {handler.name!r}; rename one of the functions."
                )
            self.by_name[handler.name] = handler
        self._for_type = lru_cache(maxsize=4096)(self._find)

    def listening(self, event: Event) -> list[HandlerSpec]:
        """Return the handlers that get this event."""
        return [
            handler
            for handler in self._for_type(event.type)
            if handler.accepts is None or handler.accepts(event)
        ]

    def _find(self, event_type: str) -> tuple[HandlerSpec, ...]:
        return tuple(
            handler
            for handler in self.by_name.values()
            if any(matches(pattern, event_type) for pattern in handler.patterns)
        )
