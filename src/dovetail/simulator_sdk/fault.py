"""Faults that a test or a person can switch on: each says what breaks, where and how often."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

CALL_KINDS = (
    "rate_limit",
    "server_error",
    "latency",
    "cut_before",
    "cut_after",
    "truncate",
    "html",
    "expired_token",
    "consistency_lag",
    "row_lock",
)
WEBHOOK_KINDS = ("webhook_lost", "webhook_duplicate", "webhook_reorder", "webhook_late")
KINDS = CALL_KINDS + WEBHOOK_KINDS

_DEFAULT_SECONDS = {"latency": 2.0, "webhook_late": 30.0, "consistency_lag": 30.0}
# Beside the usual ones: edge servers that refuse (406, 420), a portal that moves to another data
# centre (477), and what a content delivery network says of a server that it cannot reach.
_SERVER_ERRORS = (406, 420, 477, 500, 502, 503, 504, 521, 522, 523, 524, 525, 526)
_KEYS = ("kind", "path", "method", "probability", "count", "seconds", "status")


class ConnectionCut(Exception):  # noqa: N818 - it is what happens, not a mistake of anybody's
    """The connection is closed: by the server over a socket, by raising this in process."""


class FaultInvalidError(Exception):
    """A fault was described wrongly; the message says what is allowed."""


@dataclass(slots=True)
class Fault:
    """
    One fault. It strikes each matching call (or webhook event) with `probability`.

    `count` is how many times it may still strike, None for ever. `path` is a pattern in which
    ``*`` matches anything; `seconds` is the length of what has a length.
    """

    kind: str
    path: str = "*"
    method: str | None = None
    probability: float = 1.0
    count: int | None = None
    seconds: float | None = None
    status: int | None = None

    @property
    def length_s(self) -> float:
        """Return how long the fault lasts, in seconds."""
        return self.seconds if self.seconds is not None else _DEFAULT_SECONDS.get(self.kind, 0.0)

    def to_record(self) -> dict[str, Any]:
        """Return the fault as the control endpoint shows it."""
        shown = {key: getattr(self, key) for key in _KEYS}
        return {key: value for key, value in shown.items() if value is not None}


class FaultPlan:
    """The faults that are switched on, in order. The first that strikes decides for its kind."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.faults: list[Fault] = []

    def replace(self, described: Iterable[Any], *, seed: int | None = None) -> None:
        """
        Switch on exactly these faults.

        Raises:
            FaultInvalidError: A description is wrong; nothing was changed.
        """
        self.faults = [parse_fault(item) for item in described]
        if seed is not None:
            self._rng = random.Random(seed)

    def take(self, kind: str, *, path: str = "", method: str = "") -> Fault | None:
        """Return the fault of this kind that strikes now, counting it, or None."""
        for fault in self.faults:
            if (
                fault.kind != kind
                or fault.count == 0
                or (fault.method is not None and fault.method != method)
                or not fnmatchcase(path, fault.path)
            ):
                continue
            if fault.probability < 1.0 and self._rng.random() >= fault.probability:
                continue
            if fault.count is not None:
                fault.count -= 1
            return fault
        return None

    def choose(self, bound: int) -> int:
        """Return a seeded number below *bound*, for faults that need to pick something."""
        return self._rng.randrange(bound)


def parse_fault(described: Any) -> Fault:
    """
    Read one fault as JSON describes it.

    Raises:
        FaultInvalidError: The message names what is wrong and what is allowed.
    """
    if not isinstance(described, Mapping):
        raise FaultInvalidError('a fault is an object such as {"kind": "latency", "seconds": 2}')
    unknown = sorted(set(described) - set(_KEYS))
    if unknown:
        raise FaultInvalidError(f"unknown key {unknown[0]!r}; allowed: {', '.join(_KEYS)}")
    kind = described.get("kind")
    if kind not in KINDS:
        raise FaultInvalidError(f"unknown kind {kind!r}; allowed: {', '.join(KINDS)}")
    status = _number(described, "status", int, 100, 599)
    if kind == "server_error" and status is not None and status not in _SERVER_ERRORS:
        raise FaultInvalidError(f"status of server_error is one of {_SERVER_ERRORS}")
    probability = _number(described, "probability", float, 0, 1)
    method = _text(described, "method")
    return Fault(
        kind=kind,
        path=_text(described, "path") or "*",
        method=method.upper() if method else None,
        probability=1.0 if probability is None else probability,
        count=_number(described, "count", int, 0, 10**9),
        seconds=_number(described, "seconds", float, 0, 10**6),
        status=status,
    )


def _text(described: Mapping[str, Any], key: str) -> str | None:
    value = described.get(key)
    if value is not None and not isinstance(value, str):
        raise FaultInvalidError(f"{key} is a text")
    return value


def _number(described: Mapping[str, Any], key: str, type_: type, low: float, high: float) -> Any:
    value = described.get(key)
    if value is None:
        return None
    whole = type_ is int
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise FaultInvalidError(f"{key} is a {'whole ' if whole else ''}number")
    if not low <= value <= high:
        raise FaultInvalidError(f"{key} is between {low:g} and {high:g}")
    return value
