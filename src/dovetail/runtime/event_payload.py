"""What is sent with an event: plain JSON values, checked where the sender can be told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dovetail.core import json
from dovetail.errors import UsageError
from dovetail.model.entity import Entity
from dovetail.model.event import EventType
from dovetail.runtime.record_document import plain_value

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def event_name(event_type: EventType[Any] | str) -> str:
    """
    Return the wire name of an event type.

    Raises:
        UsageError: It is not a name.
    """
    name = str(event_type)
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{event_type!r} is not an event to send: give an event type such as Contact.updated, "
            'or a name such as "invoice.overdue".'
        )
    return name


def event_payload(
    name: str, entity: Entity | Mapping[str, Any] | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Return the payload of an event: an entity or dict, and further fields over it.

    Raises:
        UsageError: It is not data.
    """
    what = f"The event {name}"
    given = {} if entity is None else entity
    if isinstance(given, Mapping):
        given = dict(given)
    elif not isinstance(given, Entity):
        raise UsageError(
            f"{what} was given a {type(given).__name__}: send an entity, a dict, or fields by "
            "keyword."
        )
    payload: dict[str, Any] = plain_value(given, what) | plain_value(dict(fields), what)
    try:
        json.encode(payload)
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{what} holds half of a surrogate pair, which is no character; decode the text with "
            "errors='replace' first."
        ) from error
    return payload
