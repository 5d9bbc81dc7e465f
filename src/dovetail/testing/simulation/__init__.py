"""
Whole seeded days of a sync, with faults and crashes, in seconds, and every promise checked.

::

    from dovetail.testing.simulation import World, simulate

    outcome = simulate(World.random(7), Path("crm.py"))
    assert outcome.ok, outcome.violations
"""

from dovetail.testing.simulation.invariant import INVARIANTS, Violation
from dovetail.testing.simulation.outcome import Outcome
from dovetail.testing.simulation.run import simulate
from dovetail.testing.simulation.terms import Oauth, Quota
from dovetail.testing.simulation.world import Crash, Edit, FaultSpan, StoreSpan, World

__all__ = [
    "INVARIANTS",
    "Crash",
    "Edit",
    "FaultSpan",
    "Oauth",
    "Outcome",
    "Quota",
    "StoreSpan",
    "Violation",
    "World",
    "simulate",
]
