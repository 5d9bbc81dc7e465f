"""What comes in from a platform: the request as received and the changes it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec


class WebhookRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived; `url` is the public URL that the sender called (and signed)."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class WebhookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """
    One changed record. `id` is the same for every repetition of the same fact.

    `detail` is the platform's own item, untouched.
    """

    id: str
    resource: str
    record_id: str
    kind: Literal["created", "updated", "deleted", "merged"]
    occurred_at: datetime
    merged_into: str | None = None
    detail: dict[str, Any] = {}
