"""Timers that are stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Calls that are to be made later, on the running loop."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.TimerHandle] = set()

    def later(self, wait_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Call after *wait_s*; return what `cancel` takes."""
        handle: asyncio.TimerHandle

        def fire() -> None:
            self._waiting.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(wait_s, fire)
        self._waiting.add(handle)
        return handle

    def cancel(self, handle: asyncio.TimerHandle) -> None:
        """Make one call no more."""
        handle.cancel()
        self._waiting.discard(handle)

    def stop(self) -> None:
        """Make none of the calls any more."""
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()
