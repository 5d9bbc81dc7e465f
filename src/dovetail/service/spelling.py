"""How names are written: snake_case from camelCase, and the nearest of the names that exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """``firstName`` -> ``first_name``; a name that is snake_case already stays as it is."""
    return _HUMP.sub("_", name).lower()


def closest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that *name* most likely means, or None when none is near."""
    plain = {_plain(option): option for option in allowed}
    found = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def _plain(name: str) -> str:
    return snake_case(name.strip()).replace("-", "_").replace(" ", "_")
