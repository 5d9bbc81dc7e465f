"""The clocks of a world: each platform has its own."""

from __future__ import annotations

from datetime import timedelta

from dovetail.core.clock import LoopClock
from dovetail.testing.app import START


class SkewedClock(LoopClock):
    """A platform's clock, which is off by some seconds."""

    def __init__(self, skew_s: float) -> None:
        super().__init__(START + timedelta(seconds=skew_s))
