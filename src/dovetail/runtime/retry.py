"""When to try again: which errors, how often, after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

from dovetail.errors import (
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


@dataclass(frozen=True, slots=True)
class Retry:
    """
    A handler's retry policy: exponential backoff with full jitter, always bounded.

    The wait before attempt *n* is a random part of ``min(max_s, base_s * 2**n)`` (AWS
    Architecture Blog, "Exponential Backoff And Jitter", full jitter). A rate limit's own
    Retry-After is waited for in full, plus jitter.

    Args:
        attempts: Tries in all, the first one included.
        base_s: Seconds that the exponent starts from.
        max_s: Longest wait.
        on: Further error classes that may succeed on another try.
    """

    attempts: int = 8
    base_s: float = 1.0
    max_s: float = 300.0
    on: tuple[type[BaseException], ...] = ()

    def allows(self, error: BaseException, attempt: int) -> bool:
        """Return whether the error after *attempt* tries leaves another one."""
        return attempt < self.attempts and isinstance(error, RETRYABLE + self.on)

    def wait_s(self, error: BaseException, attempt: int, rng: random.Random) -> float:
        """Return the seconds to wait after *attempt* failed tries."""
        # Beyond 2**64 the wait is `max_s` for any base; beyond 2**1024 floats overflow.
        spread = rng.random() * min(self.max_s, self.base_s * 2.0 ** min(attempt, 64))
        if isinstance(error, RateLimitedError) and error.retry_after_s is not None:
            return error.retry_after_s + min(spread, error.retry_after_s * 0.1 + 0.5)
        if isinstance(error, VersionConflictError) and attempt <= 2:
            return spread * 0.01  # the other writer is already done
        return spread
