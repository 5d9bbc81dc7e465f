"""Sends a platform's webhooks: batched, retried on its schedule, at least once, in background."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from dovetail.core.clock import Clock
from dovetail.core.transport import HttpRequest, Transport, TransportError
from dovetail.simulator_sdk.fault import FaultPlan

BuildRequest = Callable[[list[Any], int], HttpRequest | None]
"""Makes the signed request of a batch for an attempt (0 is the first); None drops the batch."""

_MAX_WAITING = 200_000
_MAX_DELIVERIES = 10_000


class WebhookSender:
    """
    Delivers events to whatever target `build` chooses.

    `emit` never waits and never fails. Events wait `delay_s`, so that what happens together
    travels together, then leave in batches; an answer outside 2xx, a broken exchange or a slow
    answer is retried after each of `retry_delays_s`, jittered, and then given up. When more than
    the bound is waiting the oldest events are lost, as they would be.

    Args:
        clock: Measures every wait.
        rng: Jitter.
        transport: Carries the requests.
        faults: `webhook_*` faults strike each event before it is batched.
        build: Makes the request of a batch.
        max_batch: Most events in one request.
        delay_s: How long events are collected.
        retry_delays_s: Seconds before each retry.
        concurrency: Most requests at one time.
    """

    def __init__(  # noqa: PLR0913 - a schedule has that many numbers
        self,
        *,
        clock: Clock,
        rng: random.Random,
        transport: Transport,
        faults: FaultPlan,
        build: BuildRequest,
        max_batch: int = 100,
        delay_s: float = 0.1,
        retry_delays_s: Sequence[float] = (60.0, 300.0, 1800.0),
        concurrency: int = 10,
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._transport = transport
        self._faults = faults
        self._build = build
        self._max_batch = max_batch
        self._delay_s = delay_s
        self._retry_delays_s = tuple(retry_delays_s)
        self._concurrency = concurrency
        self._free: asyncio.Semaphore | None = None
        self._waiting: deque[Any] = deque(maxlen=_MAX_WAITING)
        self._collecting = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.sent = 0
        """Requests that were answered with 2xx."""
        self.failed = 0
        """Requests that were not, each attempt counted."""
        self.given_up = 0
        """Batches whose last retry failed."""

    def emit(self, events: Sequence[Any]) -> None:
        """Queue events. Must be called on the event loop."""
        for event in events:
            if self._faults.take("webhook_lost"):
                continue
            late = self._faults.take("webhook_late")
            if late is not None:
                self._spawn(self._emit_later(event, late.length_s))
                continue
            self._waiting.append(event)
            if self._faults.take("webhook_duplicate"):
                self._waiting.append(event)
        if self._waiting and not self._collecting:
            self._collecting = True
            self._spawn(self._collect())

    async def drain(self) -> None:
        """Wait until nothing is queued, being sent or waiting for a retry."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def clear(self) -> None:
        """Forget everything that is queued and stop what is being sent."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._waiting.clear()
        self._collecting = False

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _emit_later(self, event: Any, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._waiting.append(event)
        if not self._collecting:
            self._collecting = True
            await self._collect()

    async def _collect(self) -> None:
        try:
            await self._clock.sleep(self._delay_s)
        finally:
            self._collecting = False
        events = list(self._waiting)
        self._waiting.clear()
        for position in range(1, len(events)):
            if self._faults.take("webhook_reorder"):
                other = self._faults.choose(position)
                events[position], events[other] = events[other], events[position]
        for start in range(0, len(events), self._max_batch):
            if len(self._tasks) >= _MAX_DELIVERIES:
                self.given_up += 1
                continue
            self._spawn(self._deliver(events[start : start + self._max_batch]))

    async def _deliver(self, batch: list[Any]) -> None:
        if self._free is None:
            self._free = asyncio.Semaphore(self._concurrency)
        for attempt in range(len(self._retry_delays_s) + 1):
            async with self._free:
                request = self._build(batch, attempt)
                if request is None or await self._was_taken(request):
                    return
            if attempt < len(self._retry_delays_s):
                wait = self._retry_delays_s[attempt]
                await self._clock.sleep(wait * self._rng.uniform(0.8, 1.1))
        self.given_up += 1

    async def _was_taken(self, request: HttpRequest) -> bool:
        try:
            response = await self._transport.send(request)
        except TransportError:
            self.failed += 1
            return False
        if 200 <= response.status < 300:
            self.sent += 1
            return True
        self.failed += 1
        return False
