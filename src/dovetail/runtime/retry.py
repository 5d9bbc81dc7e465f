"""When to try again: which errors, how often, after how long."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from dovetail.core.duration import parse_duration
from dovetail.errors import (
    ConfigError,
    DeclarationError,
    OutcomeUnknownError,
    RateLimitedError,
    StoreError,
    TransientError,
    VersionConflictError,
)

RETRYABLE: tuple[type[BaseException], ...] = (
    TransientError,
    OutcomeUnknownError,
    StoreError,
    VersionConflictError,
    ConnectionError,
    TimeoutError,
)
"""Errors that say of themselves that another try may succeed."""

_ATTEMPTS = 8
_MOST_ATTEMPTS = 10_000


@dataclass(frozen=True, slots=True)
class Retry:
    """
    A handler's retry policy: exponential backoff with full jitter, always bounded.

    The wait before attempt *n* is a random part of ``min(max_s, base_s * 2**n)`` (AWS
    Architecture Blog, "Exponential Backoff And Jitter", full jitter). A rate limit's own
    Retry-After is waited for in full, plus jitter.

    Args:
        attempts: Tries in all, the first one included: 8, or as many as the schedule has waits
            and one. With more than that, the last wait is repeated.
        base_s: Seconds that the exponent starts from.
        max_s: Longest wait.
        on: Further error classes that may succeed on another try.
        unknown_max_s: Longest wait where an outcome is unknown, if that is to be shorter: it can
            be looked up as soon as the platform answers.
        schedule: The waits themselves, instead of the exponent: ``("1s", "1m", "1h")``. Up to a
            tenth is added, so that what failed together does not come back together.
        only: The error classes that are tried again, instead of those that say so themselves.
        deaths: How often the process may die while it runs before it is parked unrun. The first
            death is not counted; who dies for other reasons dies elsewhere the next time.
        max_elapsed: No further try when the first failure is so long ago, or would be by then.

    Raises:
        DeclarationError: A number or a length of time cannot be, a class is no error class, or
            `on` and `only` are both given.
    """

    attempts: int | None = None
    base_s: float = 1.0
    max_s: float = 300.0
    on: tuple[type[BaseException], ...] = ()
    unknown_max_s: float | None = None
    schedule: Sequence[str | timedelta] = ()
    only: tuple[type[BaseException], ...] = ()
    max_elapsed: str | timedelta | None = None
    deaths: int = 3

    def __post_init__(self) -> None:
        tries = self.attempts
        if tries is not None and (isinstance(tries, bool) or not 1 <= tries <= _MOST_ATTEMPTS):
            raise DeclarationError(
                f"retry: attempts={tries!r} is not a number from 1 (never again) to "
                f"{_MOST_ATTEMPTS:,}."
            )
        if not (self.base_s > 0 and self.max_s > 0):
            raise DeclarationError("retry: base_s and max_s are seconds, more than zero.")
        if self.deaths < 1:
            raise DeclarationError("retry: deaths is a number from 1 on.")
        if self.on and self.only:
            raise DeclarationError(
                "retry: give `on` (further error classes) or `only` (these alone), not both."
            )
        for kind in (*self.on, *self.only):
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):  # type: ignore[redundant-expr]
                raise DeclarationError(f"retry: {kind!r} is no error class.")
        if isinstance(self.schedule, str):
            raise DeclarationError(
                f'retry: the schedule is several waits: ("{self.schedule}",) is one.'
            )
        for wait in self.schedule:
            _seconds("schedule", wait)
        if self.max_elapsed is not None:
            _seconds("max_elapsed", self.max_elapsed)

    @property
    def tries(self) -> int:
        """How many tries there are in all."""
        if self.attempts is not None:
            return self.attempts
        return len(self.schedule) + 1 if self.schedule else _ATTEMPTS

    def allows(self, error: BaseException, attempt: int, elapsed_s: float = 0.0) -> bool:
        """
        Return whether the error after *attempt* tries leaves another one.

        *elapsed_s* is how long ago the first of them failed.
        """
        if self.max_elapsed is not None:
            wait_s = self._scheduled_s(attempt) if self.schedule else 0.0
            if elapsed_s + wait_s > _seconds("max_elapsed", self.max_elapsed):
                return False
        return attempt < self.tries and isinstance(error, self.only or RETRYABLE + self.on)

    def wait_s(self, error: BaseException, attempt: int, rng: random.Random) -> float:
        """Return the seconds to wait after *attempt* failed tries."""
        if self.schedule:
            wait_s = self._scheduled_s(attempt)
            spread = wait_s + wait_s * 0.1 * rng.random()
        else:
            # Beyond 2**64 the wait is `max_s` for any base; beyond 2**1024 floats overflow.
            max_s = self.max_s
            if isinstance(error, OutcomeUnknownError) and self.unknown_max_s is not None:
                max_s = self.unknown_max_s
            spread = rng.random() * min(max_s, self.base_s * 2.0 ** min(attempt, 64))
        if isinstance(error, RateLimitedError) and error.retry_after_s is not None:
            return error.retry_after_s + min(spread, error.retry_after_s * 0.1 + 0.5)
        if isinstance(error, VersionConflictError) and attempt <= 2:
            return spread * 0.01  # the other writer is already done
        return spread

    def _scheduled_s(self, attempt: int) -> float:
        return _seconds("schedule", self.schedule[min(attempt, len(self.schedule)) - 1])


def _seconds(name: str, value: str | timedelta) -> float:
    try:
        return parse_duration(value).total_seconds()
    except ConfigError as error:
        raise DeclarationError(f"retry: {name}: {error}") from error
