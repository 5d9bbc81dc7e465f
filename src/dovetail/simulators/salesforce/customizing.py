"""An administrator adds a field to an object while the org is in use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.salesforce.field import NUMBER_TYPES, TEXT_TYPES, Field

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*__c")
_TYPES = TEXT_TYPES | NUMBER_TYPES | {"boolean", "date", "datetime"}
_FLAGS = ("external_id", "unique", "required", "restricted")
_KEYS = ("name", "type", "label", "length", "picklist", *_FLAGS)
_LENGTH = 255


def read_field(described: Mapping[str, Any]) -> Field:
    """
    Return the field that a control call describes.

    Raises:
        RefusedError: The platform has no such fields.
    """
    unknown = sorted(set(described) - set(_KEYS))
    if unknown:
        raise RefusedError(f"unknown key {unknown[0]!r}; allowed: {', '.join(_KEYS)}")
    name, kind = described.get("name"), described.get("type", "string")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise RefusedError(f"the name of a custom field ends in __c, as Hub_Key__c; got {name!r}")
    if kind not in _TYPES:
        raise RefusedError(f"type is one of {', '.join(sorted(_TYPES))}; got {kind!r}")
    values, length = described.get("picklist", []), described.get("length", _LENGTH)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise RefusedError("picklist is a list of texts")
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise RefusedError("length is a whole number of characters")
    flags = {flag: described.get(flag, False) for flag in _FLAGS}
    if not all(isinstance(value, bool) for value in flags.values()):
        raise RefusedError(f"{', '.join(_FLAGS)} are true or false")
    return Field(
        name,
        kind,
        label=str(described.get("label") or name.removesuffix("__c").replace("_", " ")),
        length=length if kind in TEXT_TYPES else 0,
        picklist=tuple(values),
        default=False if kind == "boolean" else None,
        **flags,
    )
