"""
Flow control as a handler declares it: how many at a time, how often, when, and in which turn.

    concurrency   at most N runs at a time, over the handler or for each key
    throttle      at most N starts within a length of time, over the handler or for each key
    debounce      one run with the latest event, when a key has been quiet for a while
    batch         one run with a list of events, when there are enough or the first waited enough
    singleton     one run at a time for each tenant; others queue behind it, or are skipped
    priority      how many turns a handler gets while places are scarce

What waits is open in the store; a key is worth something within its tenant only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from dovetail.core.duration import parse_duration
from dovetail.errors import ConfigError, DeclarationError
from dovetail.model.event import Event

Key = Callable[[Event], object]

PRIORITIES = {"high": 8, "normal": 4, "low": 1}
"""What the names mean: turns in a round."""

_MOST_PRIORITY = 100
_MOST_STARTS = 1_000_000
_MOST_BATCH = 10_000
_RATE = re.compile(r"\s*([0-9_,]+)\s*/\s*(.+?)\s*")
_UNIT = re.compile(r"[a-z]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Concurrency:
    """
    At most *limit* runs at the same time.

    Args:
        limit: Runs.
        key: Of the event; runs of each key are counted apart. Without it, those of the handler.

    Raises:
        DeclarationError: The limit is less than one, or the key is no function.
    """

    limit: int
    key: Key | None = None

    def __post_init__(self) -> None:
        _check_count("concurrency", self.limit, 100_000)
        _check_key("concurrency", self.key)


@dataclass(frozen=True, slots=True)
class Throttle:
    """
    At most *limit* runs begin within *per*, in any window of that length; retries count.

    Args:
        limit: Starts.
        per: How long the window is: ``"minute"``, ``"10 seconds"`` or a timedelta.
        key: Of the event; each key has a rate of its own. Without it, the handler has one.

    Raises:
        DeclarationError: The limit or the length of time cannot be.
    """

    limit: int
    per: str | timedelta
    key: Key | None = None

    def __post_init__(self) -> None:
        _check_count("throttle", self.limit, _MOST_STARTS)
        _check_key("throttle", self.key)
        _ = self.per_s

    @property
    def per_s(self) -> float:
        """The window in seconds."""
        return _seconds("throttle", self.per)


@dataclass(frozen=True, slots=True)
class Debounce:
    """
    Wait until a key has been quiet for *quiet*, then run once with its latest event.

    Args:
        quiet: How long no event may come.
        max_wait: Run anyway when the first event has waited so long; ten times *quiet* when not
            given, so that a key that is never quiet is served too.
        key: Of the event; the event's own key when not given.

    Raises:
        DeclarationError: A length of time cannot be, or *max_wait* is shorter than *quiet*.
    """

    quiet: str | timedelta
    max_wait: str | timedelta | None = None
    key: Key | None = None

    def __post_init__(self) -> None:
        _check_key("debounce", self.key)
        if self.max_wait_s < self.quiet_s:
            raise DeclarationError(
                f"debounce: max_wait={self.max_wait!r} is shorter than the quiet time "
                f"{self.quiet!r}; make it longer, or leave it out for ten times as long."
            )

    @property
    def quiet_s(self) -> float:
        """The quiet time in seconds."""
        return _seconds("debounce", self.quiet)

    @property
    def max_wait_s(self) -> float:
        """The longest wait in seconds."""
        if self.max_wait is None:
            return 10 * self.quiet_s
        return _seconds("debounce", self.max_wait)


@dataclass(frozen=True, slots=True)
class Batching:
    """
    Gather events of one tenant and run once with a list of them, oldest first.

    Args:
        size: Events at most; so many are not waited for any longer.
        within: How long the first event waits for others.
        key: Of the event; only events with the same key go together.

    Raises:
        DeclarationError: The size or the length of time cannot be.
    """

    size: int
    within: str | timedelta = "1 second"
    key: Key | None = None

    def __post_init__(self) -> None:
        _check_count("batch", self.size, _MOST_BATCH)
        _check_key("batch", self.key)
        if self.size < 2:
            raise DeclarationError(
                "batch: a size of 1 gathers nothing; make it 2 or more, or leave batch out."
            )
        _ = self.within_s

    @property
    def within_s(self) -> float:
        """The wait in seconds."""
        return _seconds("batch", self.within)


@dataclass(frozen=True, slots=True)
class Singleton:
    """
    One run at a time for each tenant, its retries included.

    Args:
        mode: ``queue`` runs what comes meanwhile afterwards, in order; ``skip`` drops it.
        key: Of the event; one run at a time for each key instead.

    Raises:
        DeclarationError: The mode is neither of them.
    """

    mode: Literal["queue", "skip"] = "queue"
    key: Key | None = None

    def __post_init__(self) -> None:
        _check_key("singleton", self.key)
        if self.mode not in ("queue", "skip"):
            raise DeclarationError(
                f"singleton: {self.mode!r} is neither 'queue' (run it afterwards) nor 'skip'."
            )


@dataclass(frozen=True, slots=True)
class Flow:
    """What a handler declares, checked; see the classes of this module."""

    concurrency: Concurrency | None = None
    throttle: Throttle | None = None
    debounce: Debounce | None = None
    batch: Batching | None = None
    singleton: Singleton | None = None
    priority: int = PRIORITIES["normal"]

    def __post_init__(self) -> None:
        for one, other, reason in (
            ("debounce", "batch", "both decide when to run: one by quiet, one by number"),
            ("debounce", "singleton", "debounce runs a key once at a time already"),
            ("batch", "singleton", "batch runs one list at a time for each tenant already"),
            ("concurrency", "singleton", "a singleton is a concurrency of one"),
        ):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise DeclarationError(f"{one} and {other} cannot go together: {reason}.")
        for name in ("concurrency", "throttle"):
            setting = getattr(self, name)
            if self.batch is not None and setting is not None and setting.key is not None:
                raise DeclarationError(
                    f"{name} with a key cannot go with batch: a list has many keys. Give the key "
                    f"to the batch, and {name} a limit for the whole handler."
                )

    @property
    def lane_key(self) -> Key | None:
        """What else than the event's own key makes a lane, or None."""
        for setting in (self.debounce, self.batch, self.singleton):
            if setting is not None:
                if setting.key is None and isinstance(setting, Debounce):
                    return None
                return setting.key or _whole_tenant
        return None

    @property
    def has_gates(self) -> bool:
        """Whether a lane that is due may still have to wait for others."""
        return self.concurrency is not None or self.throttle is not None

    def check_keys(self, event: Event) -> str:
        """
        Return the key of the event's lane, having called every key function.

        Raises:
            DeclarationError: One of them fails for this event.
        """
        for setting in (self.concurrency, self.throttle):
            if setting is not None and setting.key is not None:
                _value(setting.key, event)
        key = self.lane_key
        return event.key if key is None else _value(key, event)


def scope_of(setting: Concurrency | Throttle, event: Event) -> str:
    """Return what a limit counts for this event: the handler, or a key of a tenant."""
    if setting.key is None:
        return ""
    return f"{event.business_id}\x1f{_value(setting.key, event)}"


def read_concurrency(value: int | Concurrency) -> Concurrency:
    """Read ``concurrency=`` of ``on``."""
    return value if isinstance(value, Concurrency) else Concurrency(value)


def read_throttle(value: str | Throttle) -> Throttle:
    """Read ``throttle=`` of ``on``: a `Throttle`, or ``"10/minute"``."""
    if isinstance(value, Throttle):
        return value
    found = _RATE.fullmatch(value) if isinstance(value, str) else None  # type: ignore[redundant-expr]
    if found is None:
        raise DeclarationError(
            f"throttle: {value!r} is no rate. Write '10/minute', '100/15 minutes', or "
            "Throttle(10, per='minute', key=…)."
        )
    return Throttle(int(re.sub("[_,]", "", found[1]) or 0), found[2])


def read_debounce(value: str | timedelta | Debounce) -> Debounce:
    """Read ``debounce=`` of ``on``: a `Debounce`, or the quiet time."""
    return value if isinstance(value, Debounce) else Debounce(value)


def read_batch(value: int | Batching) -> Batching:
    """Read ``batch=`` of ``on``: a `Batching`, or its size."""
    return value if isinstance(value, Batching) else Batching(value)


def read_singleton(value: bool | str | Singleton) -> Singleton | None:
    """Read ``singleton=`` of ``on``: a `Singleton`, its mode, or True for ``queue``."""
    if isinstance(value, bool):
        return Singleton() if value else None
    return value if isinstance(value, Singleton) else Singleton(value)  # type: ignore[arg-type]


def read_priority(value: str | int) -> int:
    """Read ``priority=`` of ``on``: a name, or turns in a round."""
    if isinstance(value, str) and value in PRIORITIES:
        return PRIORITIES[value]
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_PRIORITY:
        return value
    raise DeclarationError(
        f"priority: {value!r} is none of {', '.join(map(repr, PRIORITIES))}, nor a number from 1 "
        f"to {_MOST_PRIORITY}: how many turns the handler gets in a round."
    )


def _value(key: Key, event: Event) -> str:
    try:
        return str(key(event))
    except Exception as error:
        raise DeclarationError(
            f"The key function of a flow control failed for an event {event.type}: {error!r}. "
            "Let it return something for every event that the handler gets."
        ) from error


def _whole_tenant(event: Event) -> str:
    del event
    return ""


def _check_count(name: str, value: object, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise DeclarationError(f"{name}: {value!r} is not a number from 1 to {most:,}.")


def _check_key(name: str, key: object) -> None:
    if key is not None and not callable(key):
        raise DeclarationError(
            f"{name}: key={key!r} is no function. Write key=lambda event: event.payload['…']."
        )


def _seconds(name: str, value: str | timedelta) -> float:
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and _UNIT.fullmatch(text):
        text = f"1 {text}"
    try:
        return parse_duration(text).total_seconds()
    except ConfigError as error:
        raise DeclarationError(f"{name}: {error}") from error
