"""What errors have in common: the message without what differs from one event to the next."""

from __future__ import annotations

import re
from typing import Any

_MOST = 300
_PARTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"https?://[^\s'\"<>]+"), "<url>"),
    (re.compile(r"[^\s@'\"<>(){},;:]+@[^\s@'\"<>(){},;:]+\.[a-zA-Z]+"), "<email>"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "<text>"),
    (re.compile(r"\b(?=[0-9a-z_-]*[0-9])(?=[0-9a-z_-]*[a-z])[0-9a-z_-]{6,}\b", re.I), "<id>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
)


def likeness_of(error: dict[str, Any]) -> str:
    """Return ``code: message`` of a record, with ids, numbers and quoted text taken out."""
    code = str(error.get("code") or "error")
    message = " ".join(str(error.get("message") or "").split())[: 4 * _MOST]
    for pattern, name in _PARTS:
        message = pattern.sub(name, message)
    return f"{code}: {message}"[:_MOST]
