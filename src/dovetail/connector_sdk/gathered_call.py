"""Rows, the lines and queues they wait in, and the calls that carry them (see `gathering`)."""

from __future__ import annotations

import asyncio
import contextvars
import copy
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from structlog.contextvars import bound_contextvars

from dovetail.connector_sdk.lane import Lane, lane
from dovetail.core.telemetry import gathered_span
from dovetail.errors import (
    ConnectorError,
    DovetailError,
    InternalError,
    MalformedResponseError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)

if TYPE_CHECKING:
    from dovetail.connector_sdk.gathering import Target

Send = Callable[["Target", list[Any]], Awaitable[list[Any]]]
"""Carries what rows ask for; returns, in order, a result or an error for each."""

_REFUSALS: tuple[type[ConnectorError], ...] = (
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
)
"""The platform did nothing because of what one row says, and the others can be asked for again."""

_PATIENCE_S = 1.0
"""A call that takes longer no longer holds up its queue; each further one holds it up for twice as
long, because calls that wait for quota are better few and full."""


class Row:
    """What one run asks for, and the answer it waits for."""

    __slots__ = ("answer", "asked", "call", "context", "line", "queue", "target")

    def __init__(self, target: Target, asked: Any, *, line: str | None = None) -> None:
        self.target = target
        self.asked = asked
        self.line = line
        self.context = contextvars.copy_context()
        self.answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.queue: Queue | None = None
        self.call: Call | None = None


class Lines:
    """Rows by the record that they change; only the first of each record may be sent."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Row]] = {}

    def enter(self, row: Row) -> bool:
        """Put a row behind those of its record; return whether it is the first."""
        if row.line is None:
            return True
        line = self._lines.setdefault(row.line, deque())
        line.append(row)
        return len(line) == 1

    def leave(self, row: Row) -> Row | None:
        """Take a row out; return the one that is first in its place."""
        if row.line is None:
            return None
        line = self._lines[row.line]
        was_first = line[0] is row
        line.remove(row)
        if not line:
            del self._lines[row.line]
            return None
        return line[0] if was_first else None


class Call:
    """Rows on their way together."""

    __slots__ = ("is_slow", "outcomes", "rows", "task", "timer")

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows
        self.outcomes: list[Any] | None = None
        self.is_slow = False
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class Queue:
    """
    Rows that one call can carry, and the calls on their way.

    Args:
        name: What is done, for traces.
        send: Makes a call.
        limit: Rows of one call at most.
        lane: Of the calls.
        lines: Of the resource, shared with its other queues.
        context: In which calls for several rows are made.
        only_reads: Calls may be repeated whatever came of them.
    """

    def __init__(
        self,
        name: str,
        send: Send,
        *,
        limit: int,
        lane: Lane,
        lines: Lines,
        context: contextvars.Context,
        only_reads: bool,
    ) -> None:
        self._name = name
        self._send = send
        self._limit = limit
        self._lane = lane
        self._lines = lines
        self._context = context
        self._refusals = _REFUSALS
        if only_reads:
            # An answer that one record makes unreadable; reading the others again is harmless.
            self._refusals += (MalformedResponseError,)
        self._waiting: dict[Row, None] = {}
        self._going: set[Call] = set()
        self._is_woken = False

    async def ask(self, row: Row) -> Any:
        """Send a row with the next call and return its result, or raise its error."""
        row.queue = self
        if self._lines.enter(row):
            self._put(row)
        try:
            return await row.answer
        except asyncio.CancelledError:
            await self._withdraw(row)
            raise

    def _put(self, row: Row) -> None:
        self._waiting[row] = None
        self._wake()

    def _wake(self) -> None:
        # In the next turn of the loop, so that whoever asks in this one is taken along.
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._begin_calls)

    def _begin_calls(self) -> None:
        self._is_woken = False
        while self._waiting and (
            len(self._waiting) >= self._limit or all(call.is_slow for call in self._going)
        ):
            rows = list(self._waiting)[: self._limit]
            for row in rows:
                del self._waiting[row]
            self._begin(Call(rows))

    def _begin(self, call: Call) -> None:
        loop, rows = asyncio.get_running_loop(), call.rows
        alone = len(rows) == 1
        context = rows[0].context if alone else self._context.copy()
        patience_s = _PATIENCE_S * 2 ** len(self._going)
        call.timer = loop.call_later(patience_s, self._lose_patience, call)
        for row in rows:
            row.call = call
        self._going.add(call)
        carried = self._carry(call) if alone else self._carry_several(call)
        call.task = loop.create_task(carried, context=context)
        # Not at the end of the coroutine: a task that is cancelled at once never gets there.
        call.task.add_done_callback(partial(self._end, call))

    def _lose_patience(self, call: Call) -> None:
        call.is_slow = True
        self._begin_calls()

    async def _carry_several(self, call: Call) -> None:
        rows, facts = call.rows, call.rows[0].target.facts
        told = {f"dovetail__{name}": value for name, value in facts.items()}
        contexts = [row.context for row in rows]
        with (
            lane(self._lane),
            bound_contextvars(**facts, rows=len(rows)),
            gathered_span(self._name, contexts, dovetail__rows=len(rows), **told),
        ):
            await self._carry(call)

    async def _carry(self, call: Call) -> None:
        call.outcomes = await self._outcomes(call.rows)

    async def _outcomes(self, rows: list[Row]) -> list[Any]:
        """Return a result or an error for each row; whatever goes wrong, nobody waits for ever."""
        try:
            found = await self._send(rows[0].target, [row.asked for row in rows])
        except self._refusals as error:
            if len(rows) == 1:
                return [error]
            # One of them is to blame: halve until it stands alone and the others are through.
            middle = len(rows) // 2
            return [*await self._outcomes(rows[:middle]), *await self._outcomes(rows[middle:])]
        except Exception as error:
            return [error] * len(rows)
        if len(found) != len(rows):
            wrong = f"{self._name}: {len(found)} outcomes came back for {len(rows)} rows."
            return [InternalError(wrong)] * len(rows)
        return found

    def _end(self, call: Call, task: asyncio.Task[None]) -> None:
        if call.timer is not None:
            call.timer.cancel()
        self._going.discard(call)
        outcomes = call.outcomes
        if outcomes is None and not task.cancelled() and (error := task.exception()) is not None:
            outcomes = [error] * len(call.rows)
        for number, row in enumerate(call.rows):
            if row.answer.done():
                pass  # its run was cancelled
            elif outcomes is None:
                row.answer.cancel()
            elif isinstance(outcome := outcomes[number], BaseException):
                row.answer.set_exception(outcome if len(outcomes) == 1 else _twin(outcome))
            else:
                row.answer.set_result(outcome)
            self._leave(row)
        self._wake()

    def _leave(self, row: Row) -> None:
        following = self._lines.leave(row)
        if following is not None and following.queue is not None:
            following.queue._put(following)

    async def _withdraw(self, row: Row) -> None:
        """Forget a row whose run was cancelled; a call that nobody waits for is cancelled too."""
        call = row.call
        if call is None:
            self._waiting.pop(row, None)
            self._leave(row)
        elif call.task is not None and all(one.answer.done() for one in call.rows):
            call.task.cancel()
            await asyncio.wait([call.task])


def _twin(error: BaseException) -> BaseException:
    """Return an error like it: one object raised in many runs would collect all their frames."""
    if isinstance(error, DovetailError):
        twin: BaseException = type(error)(error.message, **error.facts)
    else:
        try:
            twin = copy.copy(error)
        except Exception:  # it cannot be made from its own arguments
            return InternalError(f"{type(error).__name__}: {error}")
    twin.__cause__ = error.__cause__
    return twin.with_traceback(error.__traceback__)
