"""The base of every record: typed fields, a tenant, a version, and lifecycle event names."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from dovetail.model.event import EventName, wire_name

__all__ = ["Entity", "fields_of", "wire_name"]


class Entity(msgspec.Struct, kw_only=True):
    """
    Subclass to declare a record of your own; fields are annotated like a dataclass's.

    Every field needs a default (None for "not known"): a platform rarely sends all of them.
    `custom` holds a tenant's own fields by name. `version` starts at 1 and grows by one with each
    change; an update through ``db`` is refused when the version has moved on meanwhile.

    Class attributes:
        __indexes__: Fields to look up by, as ``("email", ("platform", "external_id"))``.
        __emits__: Whether ``db`` sends created, updated and deleted events for it.
    """

    __indexes__: ClassVar[tuple[str | tuple[str, ...], ...]] = ()
    __emits__: ClassVar[bool] = True

    id: str = ""
    business_id: str = ""
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    custom: dict[str, Any] = {}

    created = EventName()
    updated = EventName()
    deleted = EventName()
    # Commands: "please create / update / delete", answered by whichever handler is in charge.
    create = EventName()
    update = EventName()
    delete = EventName()


def fields_of(entity: type[Entity]) -> dict[str, Any]:
    """Return field name -> type of an entity, its own system fields included."""
    return {field.name: field.type for field in msgspec.structs.fields(entity)}
