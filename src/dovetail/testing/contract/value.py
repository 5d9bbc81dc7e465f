"""Comparing a value that was sent with the one that came back, by the type of our field."""

from __future__ import annotations

import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Any

from dovetail.connector_sdk.spec import Resource
from dovetail.runtime.record_field import record_fields
from dovetail.sync.canonical import canonical, literal


def agree(resource: Resource, name: str, sent: Any, back: Any) -> bool:
    """
    Return whether a field shows what was sent, perhaps written in another way.

    Numbers are compared to the last digit and moments to the second; of texts, the spaces around
    them may be gone.
    """
    one, other = _compared(resource, name, sent), _compared(resource, name, back)
    if one == other:
        return True
    try:
        return Decimal(str(one)) == Decimal(str(other))
    except InvalidOperation:
        return False


def is_rounded(resource: Resource, name: str, back: Any) -> bool:
    """Return whether a field that is a decimal of ours came as a float, which rounds."""
    ours = record_fields(resource.entity).get(resource.fields[name])
    return isinstance(back, float) and ours is not None and "Decimal" in str(ours.type)


def _compared(resource: Resource, name: str, value: Any) -> Any:
    ours = resource.fields[name]
    if isinstance(value, Decimal):
        value = f"{value:f}"
    found = canonical(resource.entity, ours, literal(resource.entity, ours, value))
    return unicodedata.normalize("NFC", found) if isinstance(found, str) else found
