"""On which terms a platform lets the app in: tokens that end."""

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


def draw_oauth(rng: random.Random, sides: int) -> tuple[Oauth, ...]:
    """Return the sides whose tokens end: none in most worlds."""
    if rng.random() >= 0.25:
        return ()
    found = [side for side in range(sides) if rng.random() < 0.7] or [rng.randrange(sides)]
    return tuple(
        Oauth(side, rng.choice((200.0, 400.0, 900.0, 1_800.0)), single_use=rng.random() < 0.75)
        for side in found
    )
