"""
The unit of work of a run that was suspended: what it had written by then is not written again.

A suspended run commits what it has written and sent so far. Its next pass begins at the top and
meets the same calls again; each is recognised by what it does and how often that was done before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from dovetail.model.entity import Entity
from dovetail.model.event import EventType
from dovetail.runtime.log import EventDraft
from dovetail.runtime.record_document import entity_name
from dovetail.runtime.record_table import missing_record
from dovetail.runtime.unit import UnitOfWork
from dovetail.runtime.unit_operation import Creation, Deletion, Operation

E = TypeVar("E", bound=Entity)

Written = tuple[str, str, str]
"""What was done, to what, and the id: ``("create", "contact", "0198…")``."""


def written(operations: Sequence[Operation]) -> list[Written]:
    """Return by what operations are recognised in a later pass."""
    found: list[Written] = []
    for one in operations:
        if isinstance(one, EventDraft):
            found.append(("send", one.type, one.id or ""))
        elif isinstance(one, Creation):
            found.append(("create", entity_name(type(one.record)), one.record.id))
        else:
            verb = "delete" if isinstance(one, Deletion) else "update"
            found.append((verb, f"{entity_name(one.entity)} {one.id}", one.id))
    return found


class ReplayedUnit(UnitOfWork):
    """A unit of work that knows what its run has committed before."""

    def __init__(self, committed: Iterable[Written], **unit: Any) -> None:
        super().__init__(**unit)
        self._committed: dict[tuple[str, str], list[str]] = defaultdict(list)
        for verb, what, id in committed:
            self._committed[verb, what].append(id)

    async def create(self, entity: type[E] | E, /, **fields: Any) -> E:
        """Return the record as it is now when it was created before the run was suspended."""
        cls = entity if isinstance(entity, type) else type(entity)
        before = self._before("create", entity_name(cls))
        if before is None:
            return await super().create(entity, **fields)
        if not (fields.get("id") or (not isinstance(entity, type) and entity.id)):
            self.new_id()  # the ids that follow must be the ones that followed then
        found = await self.find_one(cls, id=before)
        if found is not None:
            return found
        known = fields if isinstance(entity, type) else _fields(entity)
        return cls(**{**known, "id": before, "business_id": self.business_id})

    async def update(self, entity: type[E] | E, id: str | None = None, /, **changes: Any) -> E:
        """Return the record as it is now when it was changed before the run was suspended."""
        cls, wanted = _address(entity, id)
        if wanted is None or self._before("update", f"{entity_name(cls)} {wanted}") is None:
            return await super().update(entity, id, **changes)
        found = await self.find_one(cls, id=wanted)
        if found is not None:
            return found
        if isinstance(entity, type):
            raise missing_record(cls, wanted)
        return entity

    async def delete(self, entity: type[Entity] | Entity, id: str | None = None, /) -> None:
        """Do nothing when it was deleted before the run was suspended."""
        cls, wanted = _address(entity, id)
        if wanted is None or self._before("delete", f"{entity_name(cls)} {wanted}") is None:
            await super().delete(entity, id)

    async def send(
        self,
        event_type: EventType[Any] | str,
        entity: Entity | Mapping[str, Any] | None = None,
        /,
        *,
        key: str | None = None,
        delay: timedelta | str | None = None,
        **fields: Any,
    ) -> str:
        """Return the id of the event when it was sent before the run was suspended."""
        before = self._before("send", str(event_type))
        if before is None:
            return await super().send(event_type, entity, key=key, delay=delay, **fields)
        self.new_id()
        return before

    def _before(self, verb: str, what: str) -> str | None:
        ids = self._committed.get((verb, what))
        return ids.pop(0) if ids else None


def _address(entity: type[E] | E, id: str | None) -> tuple[type[E], str | None]:
    if isinstance(entity, type):
        return entity, id
    return type(entity), entity.id


def _fields(entity: Entity) -> dict[str, Any]:
    return {name: getattr(entity, name) for name in entity.__struct_fields__}
