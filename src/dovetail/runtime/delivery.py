"""One event on its way to one handler: the unit of work, of retry and of giving up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from dovetail.errors import InternalError
from dovetail.model.event import Event

RUN_PREFIX = "run:"
"""What the types of the events of child runs begin with; no event that is sent can have it."""


class Delivery(msgspec.Struct, kw_only=True):
    """
    A committed delivery.

    `attempt` counts the failed tries so far; `due_at` is when it may run (microseconds). `fresh`
    means that it was made by this process and has never been tried, so no step can be recorded
    for it yet. `history` holds the last failures, oldest first. `outcome` is set by a runner that
    left it neither done nor failed, for whoever watches. `starts` counts the runs in a row that
    ended with the death of the process. `blank` means that it was read from the store with nothing
    recorded of its run, which holds until it is run.
    """

    id: int
    handler: str
    event: Event
    due_at: int
    attempt: int = 0
    fresh: bool = False
    history: list[dict[str, Any]] = []
    outcome: str = ""
    starts: int = 0
    blank: bool = False

    @property
    def lane(self) -> tuple[str, str, str]:
        """What is processed one at a time and in order: a handler, a tenant and a key."""
        return (self.handler, self.event.business_id, self.event.key)

    @property
    def is_child(self) -> bool:
        """Whether another run may have started it; if so, that run is told of its end."""
        return self.event.type.startswith(RUN_PREFIX)

    def wait_s(self, now: int) -> float:
        """
        Return how long it still has to wait: what is left of the wait after its last failure.

        Never more than that wait, even if the clock was set back meanwhile.
        """
        left = self.due_at - now
        whole = self.due_at - self.history[-1]["at"] if self.history else 0
        return max(min(left, whole), 0) / 1_000_000


def finished_of(
    taken: Sequence[Sequence[Delivery]], kept: Sequence[Sequence[Delivery]]
) -> list[Delivery]:
    """Return what was taken from each lane and was not kept."""
    if not any(kept):
        return [delivery for lane in taken for delivery in lane]
    left = {delivery.id for lane in kept for delivery in lane}
    return [delivery for lane in taken for delivery in lane if delivery.id not in left]


def orphan_error(delivery: Delivery) -> InternalError:
    """Return the error of a delivery whose handler is not in the program."""
    return InternalError(
        f"No handler is called {delivery.handler!r} any more. Bring it back and run "
        f"`dovetail dead replay {delivery.id}`, or discard the delivery.",
        handler=delivery.handler,
    )
