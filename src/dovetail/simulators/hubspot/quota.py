"""How many calls a portal admits: in ten seconds, in a day, searches in a second."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from starlette.responses import Response

from dovetail.core.clock import Clock
from dovetail.simulator_sdk.limit import WindowLimit
from dovetail.simulator_sdk.refusal import RefusedError

OAUTH_BURST_LIMIT = 110


class Quota:
    """
    The limits of one portal.

    Apps that use OAuth have a burst limit of their own, and no daily one in their headers.

    Args:
        clock: Measures windows.
        now: The platform's time, whose midnight ends a day.
        burst: Calls in any 10 seconds.
        daily: Calls in a day.
        searches: Searches in any second.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        now: Callable[[], datetime],
        burst: int,
        daily: int,
        searches: int,
    ) -> None:
        self._now = now
        self._daily = daily
        self._own = WindowLimit("ten_secondly_rolling", clock=clock, limit=burst, per_s=10.0)
        self._oauth = WindowLimit(
            "oauth_ten_secondly_rolling", clock=clock, limit=OAUTH_BURST_LIMIT, per_s=10.0
        )
        self._search = WindowLimit("search", clock=clock, limit=searches, per_s=1.0)
        self.windows = [self._own, self._oauth, self._search]
        self._day = now().date()
        self._calls_today = 0

    def admit(self, *, is_search: bool, is_oauth: bool) -> str | None:
        """Count a call; return the policy that refuses it, None when it may pass."""
        today = self._now().date()
        if today != self._day:
            self._day, self._calls_today = today, 0
        if self._calls_today >= self._daily:
            return "DAILY"
        if is_search and not self._search.admit():
            return "SECONDLY"
        if not self._burst(is_oauth).admit():
            return "TEN_SECONDLY_ROLLING"
        self._calls_today += 1
        return None

    def add_headers(self, response: Response, *, is_oauth: bool) -> None:
        """Say how much is left."""
        burst = self._burst(is_oauth)
        response.headers["X-HubSpot-RateLimit-Max"] = str(burst.limit)
        response.headers["X-HubSpot-RateLimit-Remaining"] = str(burst.remaining)
        response.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] = "10000"
        if is_oauth:
            return
        response.headers["X-HubSpot-RateLimit-Daily"] = str(self._daily)
        left = max(self._daily - self._calls_today, 0)
        response.headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(left)

    def _burst(self, is_oauth: bool) -> WindowLimit:
        return self._oauth if is_oauth else self._own


def limited(policy: str, request_id: str) -> RefusedError:
    """Return the 429 of a policy."""
    which = "daily" if policy == "DAILY" else policy.lower()
    return RefusedError(
        f"You have reached your {which} limit.",
        status=429,
        errorType="RATE_LIMIT",
        policyName=policy,
        requestId=request_id,
    )
