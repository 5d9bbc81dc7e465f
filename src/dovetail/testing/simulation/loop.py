"""A virtual-time loop in which the order of what is ready follows a seed."""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from dovetail.testing.loop import VirtualTimeLoop


class SeededLoop(VirtualTimeLoop):
    """
    Runs what is ready in a seeded order.

    What one task scheduled keeps its order, as on every loop; what different tasks and timers
    scheduled is interleaved at random. Nothing else is changed, so that each order is one that an
    ordinary loop could have produced with other timings.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._order = random.Random(seed)
        # Handles and tasks are kept until the turn ends: an address must not be used again.
        self._chains: dict[int, tuple[asyncio.Handle, asyncio.Task[Any] | None]] = {}
        self.turns = 0

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Schedule a callback, noting which task asked for it."""
        handle = super().call_soon(callback, *args, context=context)
        self._chains[id(handle)] = (handle, asyncio.current_task(self))
        return handle

    def _run_once(self) -> None:
        self.turns += 1
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        if len(ready) > 1:
            self._interleave(ready)
        self._chains.clear()
        super()._run_once()  # type: ignore[misc]

    def _interleave(self, ready: deque[asyncio.Handle]) -> None:
        chains: dict[int, deque[asyncio.Handle]] = {}
        for handle in ready:
            # A handle without a note stands alone: a timer, or one that was scheduled elsewhere.
            _, task = self._chains.get(id(handle), (None, handle))
            chains.setdefault(id(task), deque()).append(handle)
        if len(chains) == 1:
            return
        ready.clear()
        queues = list(chains.values())
        while queues:
            position = self._order.randrange(len(queues))
            queue = queues[position]
            ready.append(queue.popleft())
            if not queue:
                queues[position] = queues[-1]
                queues.pop()
