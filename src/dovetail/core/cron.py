"""
When something recurs: a cron expression in a time zone, or a fixed interval.

Both are values without state: `next_after` depends on its argument alone, so that every worker
computes the same ticks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dovetail.core.duration import format_duration, parse_duration
from dovetail.errors import ConfigError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
# Digits, names of days and months, and the signs of cron. croniter alone would also take R
# (a random value, different in every worker).
_NAMES = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat"
_FIELD = re.compile(rf"(?:[0-9*/,\-#?]|l|{_NAMES})+", re.IGNORECASE)


class Timetable(Protocol):
    """Something that recurs."""

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick later than *moment*, in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Interval:
    """
    Ticks a fixed length apart, counted from 1970 UTC: every 15 minutes is :00, :15, :30, :45.

    Ticks lie on whole multiples of the length, so they do not move with a restart.
    """

    length: timedelta

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick later than *moment*, in UTC."""
        return _EPOCH + ((moment - _EPOCH) // self.length + 1) * self.length

    def __str__(self) -> str:
        return f"every {format_duration(self.length)}"


@dataclass(frozen=True, slots=True)
class Cron:
    """
    A five-field cron expression, read in a time zone.

    When clocks go forward, a tick in the skipped hour fires once, as the hour ends. When they go
    back, a fixed hour fires once, the first time; ``*`` as the hour goes on through both.

    Raises:
        ConfigError: The expression or the time zone is wrong.
    """

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        _zone(self.timezone)
        _check(self.expression)

    def next_after(self, moment: datetime) -> datetime:
        """Return the first tick later than *moment*, in UTC."""
        fields = _fields(self.expression)
        ticks = _ticks(fields, moment.astimezone(_zone(self.timezone)))
        while True:
            tick: datetime = ticks.get_next(datetime)
            if not (tick.fold and fields[1] != "*"):
                return tick.astimezone(UTC)

    def __str__(self) -> str:
        return f"{self.expression} ({self.timezone})"


def every(when: str | timedelta, *, timezone: str | None = None) -> Cron | Interval:
    """
    Read ``*/15 * * * *``, ``@daily``, ``15 minutes`` or a timedelta as a timetable.

    Args:
        when: A cron expression or a duration.
        timezone: Where the hours of a cron expression are read; UTC when not given.

    Raises:
        ConfigError: It is neither, or a time zone was given to a duration.
    """
    if isinstance(when, str) and _looks_like_cron(when):
        return Cron(when.strip(), timezone or "UTC")
    try:
        length = parse_duration(when)
    except ConfigError as exc:
        raise ConfigError(
            f"{when!r} is neither a cron expression such as '*/15 * * * *' "
            "nor a duration such as '15 minutes'."
        ) from exc
    if timezone is not None:
        raise ConfigError(
            f"A time zone has no meaning for {when!r}: a duration is the same everywhere. "
            "Leave the time zone out, or write a cron expression."
        )
    return Interval(length)


def ticks_until(timetable: Timetable, first: datetime, last: datetime, most: int) -> list[datetime]:
    """
    Return the ticks from *first* (one itself) to *last*, at most the latest *most* of them.

    What it costs depends on *most*, not on how long ago *first* was.
    """
    span = timedelta(minutes=1)
    while True:
        # Looking back twice as far each time finds the last ticks without walking through years.
        begin = last - span
        if begin <= first:
            found, tick = [first], timetable.next_after(first)
        else:
            found, tick = [], timetable.next_after(begin)
        while tick <= last:
            found.append(tick)
            tick = timetable.next_after(tick)
        if len(found) >= most or begin <= first:
            return found[-most:]
        span *= 2


def _looks_like_cron(text: str) -> bool:
    words = text.split()
    return text.strip().startswith("@") or len(words) >= 4 or "*" in text


def _fields(expression: str) -> list[str]:
    return _MACROS.get(expression.strip().lower(), expression).split()


def _check(expression: str) -> None:
    fields = _fields(expression)
    if len(fields) != len(_FIELDS):
        raise ConfigError(
            f"{expression!r} is not a cron expression: it has {len(fields)} fields and needs "
            f"five ({', '.join(_FIELDS)}), or is one of {', '.join(_MACROS)}."
        )
    for name, text in zip(_FIELDS, fields, strict=True):
        if not _FIELD.fullmatch(text):
            raise ConfigError(f"{expression!r} is not a cron expression: {text!r} is no {name}.")
    try:
        _ticks(fields, _EPOCH).get_next(datetime)
    except (ValueError, KeyError) as exc:  # croniter's own errors are ValueErrors
        raise ConfigError(f"{expression!r} is not a cron expression: {exc}") from exc


def _ticks(fields: list[str], after: datetime) -> Any:
    # Imported by whoever has a cron expression; it takes as long as all of this package's values.
    from croniter import croniter  # noqa: PLC0415

    return croniter(" ".join(fields), after)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ConfigError(
            f"{name!r} is not a time zone. Use a name such as 'Europe/Berlin' or 'UTC'."
        ) from exc
