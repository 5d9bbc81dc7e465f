"""The versions of the API: three a year, each in the path of every call."""

from __future__ import annotations

_NEWEST = 67
_OLDEST = 46
_FIRST_LIVING = 31
_SEASONS = ("Spring", "Summer", "Winter")
_SPRING_24 = 60


def listed_versions() -> list[dict[str, str]]:
    """Return the list that needs no login."""
    return [
        {"label": _label(number), "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
        for number in range(_OLDEST, _NEWEST + 1)
    ]


def is_supported(version: str) -> bool:
    """Return whether ``v60.0`` can be called here."""
    return _number(version) in range(_OLDEST, _NEWEST + 1)


def is_retired(version: str) -> bool:
    """Return whether the platform answers 410 to it."""
    return _number(version) in range(1, _FIRST_LIVING)


def _number(version: str) -> int | None:
    digits = version.removeprefix("v").removesuffix(".0")
    return int(digits) if digits.isdecimal() and version == f"v{digits}.0" else None


def _label(number: int) -> str:
    releases = number - _SPRING_24
    season = _SEASONS[releases % 3]
    # A winter release bears the number of the coming year.
    year = 24 + releases // 3 + (season == "Winter")
    return f"{season} '{year}"
