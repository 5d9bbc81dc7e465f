"""
Where the code of a handler is: its run, its unit of work, its recorded steps.

The current context is found through a context variable, so that ``db``, ``send`` and ``step`` need
no argument. Outside a handler or ``async with app.session():`` there is none, and they say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from dovetail.core.clock import Clock, to_micros
from dovetail.core.ids import derive_id
from dovetail.core.telemetry import span
from dovetail.errors import ReplayMismatchError, RunCancelled, UsageError
from dovetail.model.event import Event
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.journal import Entry, Journal, Place
from dovetail.runtime.log import EventLog
from dovetail.runtime.recorded_error import rebuild_error
from dovetail.runtime.step_input import (
    call_function,
    encode_result,
    hash_input,
    mark_input,
    other_arguments,
    read_back,
)
from dovetail.runtime.store.port import Store
from dovetail.runtime.store.schema import FAILURE, STEP
from dovetail.runtime.suspension import Suspension
from dovetail.runtime.unit import UnitOfWork

if TYPE_CHECKING:
    from dovetail.runtime.saga import Saga

__all__ = [
    "Context",
    "RunContext",
    "RunIds",
    "current",
    "hash_input",
    "read_back",
    "require_context",
]


class Context:
    """
    What surrounds running user code: a unit of work for one tenant, time, and a stable id source.

    `delivery` is None in a session. `services` is whatever the app wants handlers to reach
    (platform connections), kept opaque here.
    """

    def __init__(self, unit: UnitOfWork, clock: Clock, services: Any = None) -> None:
        self.unit = unit
        self.clock = clock
        self.services = services
        self.delivery: Delivery | None = None

    async def step(
        self,
        name: str,
        call: Callable[..., Any],
        *args: Any,
        key: str | int = "",
        undo: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Refuse: only a run has a journal."""
        del call, args, key, undo, kwargs
        raise UsageError(
            f"step({name!r}) needs a handler: a session has no run that could be resumed. "
            "Call the function directly, or move the code into a handler."
        )


class Host(Protocol):
    """What a run needs of what runs it, to start others and to stop them."""

    @property
    def log(self) -> EventLog:
        """Where events go, and who listens to them."""
        ...

    async def look_for_stops(self) -> None:
        """Find the runs that were asked to stop."""
        ...


class RunContext(Context):
    """
    The context of one pass of a handler run: adds the journal.

    `cancelling` makes the next step that is not recorded raise RunCancelled; `suspension` is set
    when the run has given up its place; `undo` holds the undo functions that the pass has met.
    """

    def __init__(
        self,
        *,
        delivery: Delivery,
        unit: UnitOfWork,
        store: Store,
        clock: Clock,
        journal: Journal,
        services: Any = None,
    ) -> None:
        super().__init__(unit, clock, services)
        self.delivery = delivery
        self.run = delivery
        self.delivery_id = delivery.id
        self.store = store
        self.journal = journal
        self.cancelling = False
        self.was_cancelled = False
        self.can_suspend = True
        self.suspension: Suspension | None = None
        self.task = asyncio.current_task()
        self.undo: dict[Place, tuple[Callable[..., Any], Callable[..., Any]]] = {}
        self.failures: dict[Place, BaseException] = {}
        self.prefix = ""
        self.saga: Callable[[], Saga] | None = None
        self.host: Host | None = None
        self.returned: Any = None

    @property
    def event(self) -> Event:
        """What the run handles."""
        return self.run.event

    @property
    def attempt(self) -> int:
        """How many tries have failed so far."""
        return self.run.attempt

    async def step(
        self,
        name: str,
        call: Callable[..., Any],
        *args: Any,
        key: str | int = "",
        undo: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Run *call* once in the life of this run; later passes get its recorded result.

        The result is recorded durably before this returns. It must be plain data, a Struct, or
        whatever the function's return annotation can be read back as.

        Raises:
            ReplayMismatchError: The step was recorded with other arguments; the code has changed
                in a way that this run cannot follow.
            RunCancelled: The run was cancelled and the step is not recorded.
        """
        journal = self.journal
        place = journal.place(STEP, self.prefix + name, str(key))
        if not journal.loaded:
            await journal.load()
        given = mark_input(args, kwargs)
        entry = journal.entries.get(place)
        if undo is not None:
            self.note_undo(place, undo, call)
        if entry is not None:
            if entry.input_hash != given and entry.input_hash:
                raise mismatch_error(self.delivery_id, place, entry, given, call)
            return read_back(entry.result, call)
        if journal.entries or self.cancelling or self.suspension is not None:
            self.check(place)
        started_at = to_micros(self.clock.now())
        try:
            with span(f"step {name}", dovetail__repeat=place.repeat):
                value = await call_function(call, args, kwargs)
        except Exception as error:
            self.failures[place] = error
            raise
        result = encode_result(name, value)
        row = journal.row(
            place,
            result,
            started_at=started_at,
            input_hash=given,
            undo=None if undo is None else reference_of(undo),
        )
        await journal.record(row)
        return read_back(result, call)

    def note_undo(self, place: Place, undo: Callable[..., Any], call: Callable[..., Any]) -> None:
        """Keep what takes a step back, for when the run is undone."""
        if not self.can_suspend:
            raise UsageError(
                f"step({place.name!r}, undo=…): only a handler with a run for each event can take "
                "steps back; a debounced one, or an undo function itself, cannot."
            )
        self.undo[place] = (undo, call)

    def check(self, place: Place) -> None:
        """
        Go on to something that is not recorded, if the run may.

        Raises:
            RunSuspended: The run has given up its place; a ``finally`` is not the place for more.
            RunCancelled: The run was cancelled.
        """
        if self.suspension is not None:
            raise self.suspension.signal()
        if self.cancelling:
            self.was_cancelled = True
            raise RunCancelled(f"The run was cancelled before {place}.")
        failed = self.journal.entries.get(place._replace(kind=FAILURE))
        if failed is not None:
            raise rebuild_error(failed.result)


def reference_of(function: Callable[..., Any]) -> str:
    """Return how a function is named in the journal: ``module:name``."""
    inner = getattr(function, "func", function)  # functools.partial
    module = getattr(inner, "__module__", "")
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    # What belongs to an object or to given arguments cannot be found again by its name.
    owner = getattr(inner, "__self__", None)
    bound = inner is not function or (owner is not None and not isinstance(owner, type))
    return f"{module}:{name}{'<bound>' if bound else ''}"


def mismatch_error(
    run: int, place: Place, entry: Entry, given: str, call: Callable[..., Any]
) -> ReplayMismatchError:
    """Return the error of a step that was recorded with other arguments than it is given."""
    differences = other_arguments(entry.input_hash, given, call)
    return ReplayMismatchError(
        f"Step {str(place)!r} of run {run} was recorded with other arguments than it is now "
        f"called with: {', '.join(differences)}. Nothing was done. To go on, choose one: bring "
        "the old arguments back and replay the run, which keeps what is recorded; give the "
        "changed step another name, or a key=, if it is to be done in addition, and replay; "
        f"replay from the start with `dovetail dead replay {run} --from-start`, which does every "
        "step again; or discard the run.",
        step=str(place),
        delivery=run,
        differences=differences,
    )


class RunIds:
    """Ids for what a run creates: the same run, run again, makes the same ids."""

    def __init__(self, event_id: str, handler: str, moment: datetime) -> None:
        self._parts = (event_id, handler)
        self._moment = moment
        self._count = 0

    def new(self) -> str:
        """Return the run's next id."""
        self._count += 1
        return derive_id(self._moment, *self._parts, str(self._count))


def unit_of_run(
    kind: Callable[..., UnitOfWork],
    delivery: Delivery,
    *,
    store: Store,
    log: EventLog,
    clock: Clock,
    part: str = "",
) -> UnitOfWork:
    """
    Return the unit of work of a pass of a run.

    Args:
        kind: `UnitOfWork`, or one that knows what earlier passes committed.
        delivery: The run.
        store: Where records are read.
        log: Where sent events go.
        clock: Time.
        part: Of the run, where it has ids of its own.
    """
    event, handler = delivery.event, delivery.handler
    return kind(
        store=store,
        log=log,
        business_id=event.business_id,
        source=f"handler:{handler}",
        caused_by=event.id,
        clock=clock,
        new_id=RunIds(event.id, f"{handler}{part}", event.occurred_at).new,
    )


current: ContextVar[Context | None] = ContextVar("dovetail_context", default=None)


def require_context(what: str) -> Context:
    """
    Return the current context.

    Raises:
        UsageError: There is none; names *what* was used and where it can be.
    """
    context = current.get()
    if context is None:
        raise UsageError(
            f"{what} can be used inside a handler, or inside `async with app.session():`. "
            "Here there is no transaction that it could belong to."
        )
    return context
