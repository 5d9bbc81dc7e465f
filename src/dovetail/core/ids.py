"""Identifiers as a port: time-ordered UUIDv7 (RFC 9562, section 5.7), random or derived."""

from __future__ import annotations

import hashlib
import random
import secrets
from datetime import datetime
from typing import Protocol

from dovetail.core.clock import Clock, to_micros


class Ids(Protocol):
    """Where new identifiers come from."""

    def new(self) -> str:
        """Return a new UUIDv7 as a lower-case string with hyphens."""
        ...


class SystemIds:
    """UUIDv7 from a clock and the operating system's randomness."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self) -> str:
        """Return a new UUIDv7."""
        return _uuid7(to_micros(self._clock.now()) // 1000, secrets.randbits(74))


class SeededIds:
    """UUIDv7 whose random part is seeded: the same seed and clock give the same ids."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng

    def new(self) -> str:
        """Return the next UUIDv7 of the seed."""
        return _uuid7(to_micros(self._clock.now()) // 1000, self._rng.getrandbits(74))


def derive_id(moment: datetime, *parts: str) -> str:
    """
    Return the UUIDv7 that belongs to these parts: the same moment and parts, the same id.

    A run derives the ids of what it creates, so that running it again creates the same records.
    """
    # A part may hold any text, the separator too: ("a", "b\0c") is not ("a\0b", "c").
    joined = "\x00".join(parts)
    if "\\" in joined or joined.count("\x00") != len(parts) - 1:
        joined = "\x00".join(part.replace("\\", "\\\\").replace("\x00", "\\0") for part in parts)
    digest = hashlib.blake2b(joined.encode(errors="surrogatepass"), digest_size=10).digest()
    return _uuid7(to_micros(moment) // 1000, int.from_bytes(digest, "big") & ((1 << 74) - 1))


def _uuid7(millis: int, rand74: int) -> str:
    rand_a = rand74 >> 62
    rand_b = rand74 & ((1 << 62) - 1)
    value = (millis << 80) | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
