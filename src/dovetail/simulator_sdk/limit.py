"""Strict rate limits on the simulator's clock."""

from __future__ import annotations

from collections import deque
from typing import Any

from dovetail.core.clock import Clock


class WindowLimit:
    """
    At most `limit` calls in any window of `per_s` seconds (sliding, not fixed).

    Refused calls do not use up the window, but they count in `peak`, which shows whether a client
    kept the limit by itself.
    """

    def __init__(self, name: str, *, clock: Clock, limit: int, per_s: float) -> None:
        self.name = name
        self.limit = limit
        self.per_s = per_s
        self.peak = 0
        self._clock = clock
        self._admitted: deque[float] = deque()
        self._asked: deque[float] = deque()

    @property
    def remaining(self) -> int:
        """Return how many calls the window still admits."""
        self._forget(self._clock.monotonic())
        return max(self.limit - len(self._admitted), 0)

    @property
    def retry_after_s(self) -> float:
        """Return the seconds until one more call is admitted."""
        now = self._clock.monotonic()
        self._forget(now)
        if len(self._admitted) < self.limit or not self._admitted:
            return 0.0
        return self._admitted[len(self._admitted) - self.limit] + self.per_s - now

    def admit(self) -> bool:
        """Count a call; False when the window is full."""
        now = self._clock.monotonic()
        self._forget(now)
        self._asked.append(now)
        self.peak = max(self.peak, len(self._asked))
        if len(self._admitted) >= self.limit:
            return False
        self._admitted.append(now)
        return True

    def to_record(self) -> dict[str, Any]:
        """Return the limit and the most calls that were asked for in one window."""
        return {"limit": self.limit, "per_s": self.per_s, "max": self.peak}

    def _forget(self, now: float) -> None:
        start = now - self.per_s
        for times in (self._admitted, self._asked):
            while times and times[0] <= start:
                times.popleft()
