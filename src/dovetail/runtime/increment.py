"""Adding to a stored number without reading it first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dovetail.runtime.record_table import Number


class Increment(msgspec.Struct, frozen=True):
    """Add to what is stored; made with `increment`. In an event it is ``{"increment": n}``."""

    increment: Number


def increment(by: Number) -> Increment:
    """
    Return a value for ``db.update`` that adds to whatever is stored, whoever else adds meanwhile.

    ``await db.update(InventoryLevel, id, available=increment(-2))``
    """
    return Increment(by)


def split_increments(
    changes: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Number]]:
    """Return the plain changes, and the increments by field name."""
    fields: dict[str, Any] = {}
    increments: dict[str, Number] = {}
    for name, value in changes.items():
        if isinstance(value, Increment):
            increments[name] = value.increment
        elif name == "custom" and isinstance(value, Mapping):
            increments |= {
                f"custom.{key}": one.increment
                for key, one in value.items()
                if isinstance(one, Increment)
            }
            rest = {key: one for key, one in value.items() if not isinstance(one, Increment)}
            if rest or not value:
                fields[name] = rest
        else:
            fields[name] = value
    return fields, increments
