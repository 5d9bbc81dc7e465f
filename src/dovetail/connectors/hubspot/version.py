"""Which state of a record was seen last, so that an overlap tells nothing twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.hubspot.value import millis, modified_at
from dovetail.core import json

_SEEN_LIMIT = 5000


def versions(
    resource: Resource, items: Iterable[Mapping[str, Any]], told: Sequence[str]
) -> dict[str, str]:
    """Return id -> when it changed and what it says, in the properties that were *told*."""
    # With the content, because an edit in the very millisecond of a reading keeps the time.
    found: dict[str, str] = {}
    for item in items:
        properties = item.get("properties") or {}
        content = json.canonical([properties.get(name) for name in told])
        digest = hashlib.blake2b(content, digest_size=6).hexdigest()
        found[str(item["id"])] = f"{millis(modified_at(resource, item))} {digest}"
    return found


def remember(seen: dict[str, str], fresh: dict[str, str], since: int) -> dict[str, str]:
    """Return both, less what changed before *since* (milliseconds)."""
    both = seen | fresh
    dated = sorted((int(str(version).split()[0]), id) for id, version in both.items())
    return {id: both[id] for at, id in dated[-_SEEN_LIMIT:] if at >= since}
