"""
Times as Salesforce writes and reads them.

Rows keep times as the platform's own text: always UTC, always whole seconds, so that two of them
compare as strings.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from email.utils import format_datetime, parsedate_to_datetime

_DATETIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?P<zone>Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def to_text(moment: datetime) -> str:
    """Return ``2026-03-01T15:04:05.000+0000``: milliseconds are dropped, never rounded."""
    return to_exact_text(moment.replace(microsecond=0))


def to_exact_text(moment: datetime) -> str:
    """Return the same with its milliseconds: a bound in a query, which stored times compare to."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")


def from_text(text: str) -> datetime:
    """Read the text of `to_text`."""
    return datetime.fromisoformat(text)


def parse_datetime(text: str) -> datetime | None:
    """Read ISO 8601 with a ``Z`` or an offset, as UTC; None for anything else."""
    match = _DATETIME.fullmatch(text)
    if match is None or match["zone"] is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_date(text: str) -> str | None:
    """Return *text* if it is a day of the calendar as ``YYYY-MM-DD``."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def to_http(text: str) -> str:
    """Turn a stored time into the form of HTTP headers."""
    return format_datetime(from_text(text), usegmt=True)


def parse_http(text: str) -> datetime | None:
    """Read the time of an HTTP header; None when it is not one."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def floor_minute(moment: datetime) -> datetime:
    """Drop seconds and below."""
    return moment.replace(second=0, microsecond=0)
