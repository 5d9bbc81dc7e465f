"""What is to be run for which events: handler declarations and the table of who listens."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dovetail.errors import DeclarationError, UsageError
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

    def of_child(self, handler: Callable[..., Any] | str) -> HandlerSpec:
        """
        Return the handler of a name or a function, to be run as a child run.

        Raises:
            UsageError: The program has none, or it does not serve its events one by one.
        """
        if isinstance(handler, str):
            found = [self.by_name[handler]] if handler in self.by_name else []
        else:
            function = inspect.unwrap(handler)
            found = [one for one in self.by_name.values() if inspect.unwrap(one.call) is function]
        if not found:
            raise _no_handler(handler, list(self.by_name))
        refusals = [(spec, _refuses_to_be_child(spec)) for spec in found]
        fit = next((spec for spec, why in refusals if why is None), None)
        if fit is None:
            spec, why = refusals[0]
            raise UsageError(
                f"{spec.name} cannot be a child run: {why}. Move what it does for one event into "
                "a handler of its own, and run that; or send an event, and wait for its answer "
                "with step.wait_for().",
                handler=spec.name,
            )
        return fit

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


def _refuses_to_be_child(spec: HandlerSpec) -> str | None:
    if spec.batch is not None or spec.flow.batch is not None:
        return "it is called with a list of events, and has no result for each of them"
    if spec.flow.debounce is not None or spec.coalesce:
        return "several events may be served by one run of it, which gets the latest of them"
    return None


def _no_handler(handler: Callable[..., Any] | str, names: list[str]) -> UsageError:
    if isinstance(handler, str):
        near = difflib.get_close_matches(handler, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "`dovetail check` lists the handlers."
        return UsageError(f"No handler of this program is called {handler!r}. {hint}")
    name = getattr(handler, "__qualname__", repr(handler))
    return UsageError(
        f"{name} is no handler of this program, so it has no runs. Decorate it with on(…) in a "
        f'module that is loaded; or call it in a step of this run: step("{name}", {name}, …).'
    )
