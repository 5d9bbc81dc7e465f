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


def note_write(link: Link, fields: Mapping[str, Any], now: int) -> bool:
    """
    Count a write that is about to be made; return whether it is one too many.

    A person who edits often writes new values; a cycle writes the same few again and again.
    """
    digest = hashlib.blake2b(json.canonical(dict(fields)), digest_size=6).hexdigest()
    recent = [(at, known) for at, known in link.writes if at > now - WINDOW_MICROS]
    recent.append((now, digest))
    link.writes, link.is_changed = recent, True
    if len(recent) > MAX_WRITES:
        return True
    return len(recent) > MAX_REPEATS and 2 * len({known for _, known in recent}) <= len(recent)
