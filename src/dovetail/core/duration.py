"""Lengths of time as people write them: ``15-minutes``, ``15m``, ``2 days``, or seconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from decimal import Decimal

from dovetail.errors import ConfigError

FORMS = ("15m", "15 minutes", "15-minutes", "1h30m", "2 days")
"""Examples of what `parse_duration` reads, for error messages."""

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_WORDS = {
    **dict.fromkeys(("ms", "millis", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_NAMES = {"w": "week", "d": "day", "h": "hour", "m": "minute", "s": "second", "ms": "millisecond"}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)[\s_-]*([a-z]+)[\s,_-]*", re.ASCII)
_LONGEST = timedelta(days=3660)

UNITS = tuple(sorted({word for word in _WORDS if len(word) > 2}))
"""The unit words, for suggesting the closest spelling."""


def parse_duration(value: object) -> timedelta:
    """
    Return the length of time that *value* means; a bare number is seconds.

    Raises:
        ConfigError: It is not a duration, not more than zero, or longer than ten years.
    """
    length = _length(value)
    if length <= timedelta(0):
        raise ConfigError(f"{value!r} is not a duration: it must be more than zero.")
    if length > _LONGEST:
        raise ConfigError(f"{value!r} is too long: a duration is at most ten years.")
    return length


def format_duration(length: timedelta) -> str:
    """Return the length in words that `parse_duration` reads back: ``1 hour 30 minutes``."""
    rest = length
    words: list[str] = []
    # Weeks read worse than days ("2 weeks 1 day"), so they are understood but never written.
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNITS[unit])
        if count:
            words.append(f"{count} {_NAMES[unit]}{'s' if count != 1 else ''}")
    return " ".join(words) or "0 seconds"


def _length(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _seconds(value)
    if isinstance(value, str):
        return _written(value)
    raise _unreadable(value)


def _seconds(value: float | Decimal) -> timedelta:
    if not math.isfinite(value) or value > _LONGEST.total_seconds():
        raise ConfigError(f"{value} seconds is too long: a duration is at most ten years.")
    return timedelta(seconds=float(value))


def _written(text: str) -> timedelta:
    wanted = text.strip().lower()
    length, position = timedelta(0), 0
    while position < len(wanted):
        part = _PART.match(wanted, position)
        unit = _WORDS.get(part[2]) if part else None
        if part is None or unit is None:
            raise _unreadable(text)
        number = float(part[1])
        if number > _LONGEST / _UNITS[unit]:
            raise ConfigError(f"{text!r} is too long: a duration is at most ten years.")
        length += number * _UNITS[unit]
        position = part.end()
    if not wanted:
        raise _unreadable(text)
    return length


def _unreadable(value: object) -> ConfigError:
    return ConfigError(
        f"{value!r} is not a duration. Write a number and a unit, such as {', '.join(FORMS)}; "
        "the units are ms, s, m, h, d and w."
    )
