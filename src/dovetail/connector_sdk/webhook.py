"""What comes in from a platform: the request as received and the changes it tells of."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from dovetail.errors import WebhookRejectedError


class WebhookRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it arrived; `url` is the public URL that the sender called (and signed)."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class WebhookReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a handshake is answered with."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = {}


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


def header(request: WebhookRequest, name: str) -> str:
    """Return a header's value whatever the case of its name, empty when it is missing."""
    name = name.lower()
    return next((value for key, value in request.headers.items() if key.lower() == name), "")


def check_signature(given: str, expected: Sequence[str]) -> None:
    """
    Compare in constant time with what each secret would have signed.

    Raises:
        WebhookRejectedError: The signature is missing or fits none; status 401.
    """
    if not given:
        raise WebhookRejectedError(
            "The request is not signed. Let the platform alone call this address.", status=401
        )
    # All are compared, so that the time tells nothing about which one fitted.
    fits = [hmac.compare_digest(given.encode(), one.encode()) for one in expected]
    if not any(fits):
        raise WebhookRejectedError(
            "The signature of the request does not fit. Check the connection's webhook secret and "
            "the public URL that the platform calls.",
            status=401,
        )


def check_age(signed_at: datetime, now: datetime, most: timedelta) -> None:
    """
    Refuse what was signed too long ago (a replay), or in the future.

    Raises:
        WebhookRejectedError: It is further than *most* from *now*; status 401.
    """
    if abs(now - signed_at) > most:
        raise WebhookRejectedError(
            f"The request was signed at {signed_at.isoformat()}, more than "
            f"{most.total_seconds():g} s from now. Check this machine's clock.",
            status=401,
        )
