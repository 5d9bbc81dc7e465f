"""Stops records that will not come to rest: written back and forth between two values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from dovetail.core import json
from dovetail.sync.link import Link

WINDOW_MICROS = 600_000_000
MAX_REPEATS = 8
"""Writes of one record within the window that mostly repeat earlier ones."""
MAX_WRITES = 40
"""Writes of one record within the window, however different: no person edits that fast."""


def note_write(link: Link, fields: Mapping[str, Any], now: int) -> None:
    """
    Count a write that is known to have changed the record over there.

    One that was cut off, refused or is without an answer is none: that it is tried again says
    nothing about the record.
    """
    link.writes = [*_recent(link, now), (now, _digest(fields))]
    link.is_changed = True


def is_cycling(link: Link, fields: Mapping[str, Any], now: int) -> bool:
    """
    Return whether a write that is wanted would be one too many.

    A person who edits often writes new values; a cycle writes the same few again and again.
    """
    digests = [known for _, known in _recent(link, now)] + [_digest(fields)]
    if len(digests) > MAX_WRITES:
        return True
    return len(digests) > MAX_REPEATS and 2 * len(set(digests)) <= len(digests)


def _recent(link: Link, now: int) -> list[tuple[int, str]]:
    return [(at, known) for at, known in link.writes if at > now - WINDOW_MICROS]


def _digest(fields: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.canonical(dict(fields)), digest_size=6).hexdigest()
