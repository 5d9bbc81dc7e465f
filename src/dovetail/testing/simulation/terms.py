"""On which terms a platform lets the app in: tokens that end, quotas that bind, bulk jobs."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Oauth:
    """
    A side whose tokens end.

    Attributes:
        side: Which; sides are numbered through, tenant by tenant.
        life_s: How long an access token lives; where the platform counts from its last use, from
            then on.
        single_use: Whether a renewal replaces the refresh token, and the old one is worth nothing.
    """

    side: int
    life_s: float
    single_use: bool


@dataclass(frozen=True, slots=True)
class Quota:
    """
    A side with less of a quota than its work could use.

    Attributes:
        side: Which; sides are numbered through, tenant by tenant.
        burst: Calls in ten seconds, at a platform that has such a limit.
        daily: Calls in a day, at a platform that tells how many are left.
        shared: Whether a second business is connected to the same account, and looks at many of
            its records at once.
    """

    side: int
    burst: int | None = None
    daily: int | None = None
    shared: bool = False


def draw_quotas(
    rng: random.Random, platforms: tuple[str, ...], tenants: int, oauth: tuple[Oauth, ...]
) -> tuple[Quota, ...]:
    """Return the sides that are short of calls: none in most worlds."""
    if rng.random() >= 0.2:
        return ()
    ending = {one.side for one in oauth}
    by_day = rng.random() < 0.3
    found = []
    for side, platform in enumerate(platforms * tenants):
        # Apps with OAuth have a quota of their own at HubSpot, which is not what is told.
        if platform == "hubspot" and side not in ending:
            burst = rng.choice((12, 20, 40))
            found.append(Quota(side, burst=burst, shared=side == 0 and rng.random() < 0.7))
        elif platform == "salesforce" and by_day:
            found.append(Quota(side, daily=rng.choice((50, 80, 130))))
    return tuple(found)


def draw_oauth(rng: random.Random, sides: int) -> tuple[Oauth, ...]:
    """Return the sides whose tokens end: none in most worlds."""
    if rng.random() >= 0.25:
        return ()
    found = [side for side in range(sides) if rng.random() < 0.7] or [rng.randrange(sides)]
    return tuple(
        Oauth(side, rng.choice((200.0, 400.0, 900.0, 1_800.0)), single_use=rng.random() < 0.75)
        for side in found
    )
