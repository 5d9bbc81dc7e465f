"""What a platform call gives to a handler."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class PlatformRecord(msgspec.Struct, frozen=True, kw_only=True):
    """
    A record as a platform holds it, for handlers.

    `fields` has the platform's names, `values` the same under ours, as ``db.create`` and
    ``db.update`` take them.
    """

    id: str
    platform: str
    fields: dict[str, Any]
    values: dict[str, Any]
    updated_at: datetime
    created: bool = False
    deleted: bool = False
