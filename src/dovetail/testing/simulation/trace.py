"""What happened, in order, with a hash that two runs of one seed must share."""

from __future__ import annotations

import hashlib
from collections import deque

from dovetail.core.clock import Clock

_KEPT = 20_000


class Trace:
    """
    Collects events of a simulation.

    Args:
        clock: Gives each event its virtual time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._digest = hashlib.blake2b(digest_size=16)
        self._lines: deque[str] = deque(maxlen=_KEPT)
        self.size = 0

    def add(self, what: str) -> None:
        """Add an event."""
        line = f"{self._clock.monotonic():.6f} {what}"
        self._digest.update(line.encode())
        self._digest.update(b"\n")
        self._lines.append(line)
        self.size += 1

    @property
    def hash(self) -> str:
        """The hash of every event so far."""
        return self._digest.hexdigest()

    def about(self, words: tuple[str, ...], most: int = 30) -> list[str]:
        """Return the last events that mention one of the words; the last of all without words."""
        found = [line for line in self._lines if not words or any(w in line for w in words)]
        return found[-most:]
