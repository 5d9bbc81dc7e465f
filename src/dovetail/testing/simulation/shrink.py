"""Make a failing world smaller for as long as it fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from dovetail.testing.simulation.outcome import Outcome
from dovetail.testing.simulation.world import World

_PARTS = ("crashes", "store", "faults", "edits", "oauth", "quotas", "skew_s")


def shrink(failed: Outcome, play: Callable[[World], Outcome], *, most_tries: int = 60) -> Outcome:
    """
    Return the outcome of the smallest world found that breaks the same promise.

    Args:
        failed: What to start from.
        play: How a world is simulated.
        most_tries: Simulations at most.
    """
    promise = failed.violations[0].invariant
    smallest, tries = failed, 0
    progress = True
    while progress and tries < most_tries:
        progress = False
        for candidate in _smaller(smallest.world):
            if tries >= most_tries:
                break
            tries += 1
            outcome = play(candidate)
            if any(one.invariant == promise for one in outcome.violations):
                smallest, progress = outcome, True
                break
    return smallest


def _smaller(world: World) -> Iterator[World]:
    """Yield smaller worlds, the boldest first."""
    for name in _PARTS:
        if getattr(world, name):
            yield _with(world, name, ())
    for name in _PARTS[:-1]:
        items: tuple[Any, ...] = getattr(world, name)
        size = len(items) // 2
        while size >= 1:
            for start in range(0, len(items), size):
                yield _with(world, name, items[:start] + items[start + size :])
            size //= 2
    if world.tenants > 1:
        yield replace(world, tenants=1)
    if world.bulk_from:
        yield replace(world, bulk_from=0)
    if world.records > 2:
        yield replace(world, records=world.records // 4)


def _with(world: World, name: str, items: tuple[Any, ...]) -> World:
    changes: dict[str, Any] = {name: items}
    return replace(world, **changes)
