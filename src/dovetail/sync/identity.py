"""Natural keys: what makes two records the same when no link says so yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_WEB = re.compile(r"^(?:[a-z]+://)?(?:www\.)?", re.IGNORECASE)


def _mail(value: str) -> str:
    return value.strip().lower()


def _domain(value: str) -> str:
    return _WEB.sub("", value.strip()).split("/")[0].lower()


def _code(value: str) -> str:
    return value.strip()


NATURAL_KEYS: dict[str, tuple[str, Callable[[str], str]]] = {
    "contact": ("email", _mail),
    "customer": ("email", _mail),
    "company": ("domain", _domain),
    "owner": ("email", _mail),
    "product": ("sku", _code),
}
"""Entity -> the field that identifies it, and how that is normalised."""


def key_field(entity: str) -> str | None:
    """Return the field that holds an entity's natural key, if it has one."""
    known = NATURAL_KEYS.get(entity)
    return known[0] if known else None


def natural_key(entity: str, values: Mapping[str, Any]) -> str | None:
    """Return the normalised natural key of a record's values by our field names."""
    known = NATURAL_KEYS.get(entity)
    if known is None:
        return None
    name, normalise = known
    value = values.get(name)
    return (normalise(str(value)) or None) if value is not None else None
