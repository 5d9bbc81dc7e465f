"""
Where the code of a handler is: its run, its unit of work, its recorded steps.

The current context is found through a context variable, so that ``db``, ``send`` and ``step`` need
no argument. Outside a handler or ``async with app.session():`` there is none, and they say so.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import typing
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.core.ids import derive_id
from dovetail.core.telemetry import span
from dovetail.errors import ReplayMismatchError, UsageError
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import steps
from dovetail.runtime.unit import UnitOfWork

_MAX_RESULT_BYTES = 1024 * 1024


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

    async def step(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Refuse: only a run has a journal."""
        del call, args, kwargs
        raise UsageError(
            f"step({name!r}) needs a handler: a session has no run that could be resumed. "
            "Call the function directly, or move the code into a handler."
        )


class RunContext(Context):
    """The context of one handler run: adds the journal of steps."""

    def __init__(
        self,
        *,
        delivery: Delivery,
        unit: UnitOfWork,
        store: Store,
        clock: Clock,
        services: Any = None,
    ) -> None:
        super().__init__(unit, clock, services)
        self.delivery = delivery
        self.delivery_id = delivery.id
        self.store = store
        self._repeats: Counter[str] = Counter()
        self._journal: dict[tuple[str, int], tuple[str, bytes]] | None = (
            {} if delivery.fresh else None
        )

    async def step(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """
        Run *call* once in the life of this run; later passes get its recorded result.

        The result is recorded durably before this returns. It must be plain data, a Struct, or
        whatever the function's return annotation can be read back as.

        Raises:
            ReplayMismatchError: The step was recorded with other arguments; the code has changed
                in a way that this run cannot follow. Replay it from the start or discard it.
        """
        repeat = self._repeats[name]
        self._repeats[name] += 1
        wanted = hash_input(args, kwargs)
        recorded = (await self._load_journal()).get((name, repeat))
        if recorded is not None:
            found, result = recorded
            if found != wanted:
                raise ReplayMismatchError(
                    f"Step {name!r} was recorded with other arguments than it is now called "
                    "with. If the change is intended, discard this run and send the event again.",
                    step=name,
                    delivery=self.delivery_id,
                )
            return read_back(result, call)
        with span(f"step {name}", dovetail__repeat=repeat):
            value = await _call(call, args, kwargs)
        result = _encode_result(name, value)
        await self.store.write_each(
            _record_steps,
            {
                "delivery_id": self.delivery_id,
                "kind": 0,
                "name": name,
                "key": "",
                "repeat": repeat,
                "position": 0,
                "input_hash": wanted,
                "result": result,
                "started_at": to_micros(self.clock.now()),
                "recorded_at": to_micros(self.clock.now()),
            },
        )
        return read_back(result, call)

    async def _load_journal(self) -> dict[tuple[str, int], tuple[str, bytes]]:
        if self._journal is None:
            rows = await self.store.read(lambda tx: _journal_rows(tx, self.delivery_id))
            self._journal = {(row.name, row.repeat): (row.input_hash, row.result) for row in rows}
        return self._journal


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


async def _call(call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(call):
        return await call(*args, **kwargs)
    result = await asyncio.to_thread(call, *args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def hash_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return a hash of a call's arguments; equal arguments, equal hash."""
    data = _hash_encoder.encode((args, kwargs))
    return hashlib.blake2b(data, digest_size=12).hexdigest()


# Arguments that are not data (a client object) count by their class: they cannot be compared
# across processes, and a step must not fail for being handed one.
_hash_encoder = msgspec.json.Encoder(
    enc_hook=lambda value: type(value).__qualname__, order="deterministic", decimal_format="string"
)


def _encode_result(name: str, value: Any) -> bytes:
    try:
        data = json.encode(value)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"Step {name!r} returned {type(value).__name__}, which cannot be recorded as JSON: "
            f"{error}. Return plain data, a Struct or an entity.",
            step=name,
        ) from error
    if len(data) > _MAX_RESULT_BYTES:
        raise UsageError(
            f"Step {name!r} returned {len(data):,} bytes; at most {_MAX_RESULT_BYTES:,} can be "
            "recorded. Store the data elsewhere and return where it is.",
            step=name,
        )
    return data


def read_back(result: bytes, call: Callable[..., Any]) -> Any:
    """Return a recorded result as what the function's return annotation says."""
    # The first pass and a resumed one see the same thing: what survived the round trip.
    value = json.decode(result)
    try:
        annotated = typing.get_type_hints(call).get("return")
    except (NameError, TypeError, AttributeError):
        return value
    if annotated in (None, Any) or value is None:
        return value
    try:
        return json.convert(value, annotated)
    except (ValueError, TypeError):
        return value


_INSERT_STEP = sa.insert(steps)


def _record_steps(tx: Tx, rows: list[dict[str, Any]]) -> list[None]:
    tx.run(_INSERT_STEP, rows)
    return [None] * len(rows)


def _journal_rows(tx: Tx, delivery_id: int) -> Any:
    return tx.rows(sa.select(steps).where(steps.c.delivery_id == delivery_id))
