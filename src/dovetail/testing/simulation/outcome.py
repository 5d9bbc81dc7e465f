"""What became of a world."""

from __future__ import annotations

from dataclasses import dataclass

from dovetail.testing.simulation.invariant import Violation
from dovetail.testing.simulation.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a world.

    Attributes:
        world: The world.
        trace_hash: The same for every run of the same world.
        events: How many events the trace has.
        virtual_s: How much time passed in the world.
        calls: Requests of the app to the platforms.
        crashes: How often the process died.
        violations: Broken promises; empty when all held.
        last: The last events about what the first violation is about.
    """

    world: World
    trace_hash: str
    events: int
    virtual_s: float
    calls: int
    crashes: int
    violations: tuple[Violation, ...]
    last: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations
