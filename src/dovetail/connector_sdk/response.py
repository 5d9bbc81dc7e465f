"""One answer of a platform, and what a connector can tell about an answer that is an error."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

_EXCERPT = 200
_MESSAGE_NAMES = ("message", "error_description", "detail", "title", "error")


class ApiResponse(msgspec.Struct, frozen=True, kw_only=True):
    """
    One answer, whole; header names are lower case.

    `json` is the decoded body, None where it is empty or not JSON (`body` has it then).
    """

    status: int
    headers: Mapping[str, str] = {}
    json: Any = None
    body: bytes = b""
    received_at: datetime

    def excerpt(self) -> str:
        """Return the beginning of the body on one line, for messages."""
        text = " ".join(self.body[: _EXCERPT * 2].decode("utf-8", "replace").split())
        return text[:_EXCERPT] + ("…" if len(text) > _EXCERPT else "")


@dataclass(frozen=True, slots=True)
class ErrorDetail:
    """
    What a platform says about an error, in words that every platform shares.

    Attributes:
        message: The platform's own sentence.
        code: The platform's own code, as `ErrorRule.code` names it.
        fields: The platform's field -> why its value was refused.
        existing_id: The record that a create ran into.
        request_id: What the platform's support asks for.
        retry_after_s: Seconds to wait, where the body tells them.
        limit: The name of the rate limit that was reached, where it is told: others go on.
    """

    message: str
    code: str | None = None
    fields: dict[str, str] | None = None
    existing_id: str | None = None
    request_id: str | None = None
    retry_after_s: float | None = None
    limit: str | None = None


def plain_detail(response: ApiResponse) -> ErrorDetail:
    """Return what can be told without knowing the platform: its sentence, or an excerpt."""
    body = response.json if isinstance(response.json, dict) else {}
    found = (body.get(name) for name in _MESSAGE_NAMES)
    message = next((text for text in found if isinstance(text, str) and text), None)
    code = body.get("code")
    return ErrorDetail(
        message=message or response.excerpt() or "no explanation was given",
        code=str(code) if isinstance(code, str | int) else None,
        request_id=response.headers.get("x-request-id"),
    )


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3)."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)
