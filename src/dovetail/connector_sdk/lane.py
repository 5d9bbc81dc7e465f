"""
Who may use an account's quota first: a person's change before a first sync.

    with lane(Lane.BACKFILL):
        ...                     every call made here waits behind the others

The lane follows the work (it is a context variable), so connectors do not pass it on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum


class Lane(IntEnum):
    """What a call is for; a lower number goes first."""

    LIVE = 0
    """What happened a moment ago: webhooks, and writes that follow from them."""
    USER = 1
    """What a program's own handlers ask for."""
    RECONCILE = 2
    """Looking whether everything still agrees."""
    BACKFILL = 3
    """The first sync, and whatever else can take its time."""


_current: ContextVar[Lane] = ContextVar("dovetail_lane", default=Lane.LIVE)


def current_lane() -> Lane:
    """Return the lane of the work that runs now; live where nobody said."""
    return _current.get()


@contextmanager
def lane(wanted: Lane) -> Iterator[None]:
    """Make the calls of a block in a lane."""
    token = _current.set(wanted)
    try:
        yield
    finally:
        _current.reset(token)
