"""Events: what happened, to which record, for which tenant; and the typed names of events."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

E = TypeVar("E")


class EventType(Generic[E]):
    """
    The typed name of an event, as ``Contact.created``; on the wire ``contact.created``.

    Two event types are equal when their wire names are.
    """

    __slots__ = ("entity", "name")

    def __init__(self, entity: type[E], name: str) -> None:
        self.entity = entity
        self.name = name

    def __repr__(self) -> str:
        return f"<EventType {self.name}>"

    def __str__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EventType) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class EventName:
    """
    Declares an event of an entity: ``requested = EventName()`` makes ``Payment.requested``.

    The wire name is the entity's wire name, a dot, and the attribute's name.
    """

    def __init__(self) -> None:
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type[E]) -> EventType[E]:
        return EventType(owner, f"{wire_name(owner)}.{self._name}")


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """
    One fact in the log.

    `payload` is the entity (or the fields sent) as plain JSON values. `raw` are the bytes as
    received from outside, untouched, with `raw_type` their content type; None for events that
    began here. `key` orders: events with one key reach a handler one at a time, in order.
    """

    id: str
    type: str
    key: str
    business_id: str
    source: str
    payload: dict[str, Any]
    occurred_at: datetime
    raw: bytes | None = None
    raw_type: str | None = None
    caused_by: str | None = None
    seq: int = 0


def wire_name(entity: type) -> str:
    """Return an entity's name on the wire: ``InventoryLevel`` gives ``inventory_level``."""
    letters: list[str] = []
    for index, letter in enumerate(entity.__name__):
        if letter.isupper() and index:
            letters.append("_")
        letters.append(letter.lower())
    return "".join(letters)
