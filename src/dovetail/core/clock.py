"""
Time as a port: nothing else in the product reads the wall clock or sleeps.

Both clocks sleep on the running event loop, so a loop with virtual time (`dovetail.testing`)
makes hours pass in microseconds without any code knowing it.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time and waiting."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences have a meaning."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; zero or less only yields to other tasks."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the current moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic clock in seconds."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(max(seconds, 0))


class LoopClock:
    """
    A clock that follows the running event loop's own time from a chosen start.

    On an ordinary loop it runs at normal speed; on a virtual-time loop it jumps with the loop.
    """

    def __init__(self, start: datetime = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)) -> None:
        self._start = start
        self._origin: float | None = None

    def monotonic(self) -> float:
        """Return the loop's time in seconds."""
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        """Return the start plus what the loop has counted since the first call."""
        loop_time = self.monotonic()
        if self._origin is None:
            self._origin = loop_time
        return self._start + timedelta(seconds=loop_time - self._origin)

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(max(seconds, 0))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Whole microseconds since 1970 UTC: how moments are kept in indexed integer columns."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the aware UTC moment of `to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)
