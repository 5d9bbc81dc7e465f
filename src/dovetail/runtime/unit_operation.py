"""What a unit of work has to do when it commits, and doing it: in order, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dovetail.core import json
from dovetail.errors import RecordMissingError, VersionConflictError
from dovetail.model.entity import Entity
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.overlay import RecordKey
from dovetail.runtime.record_document import entity_name
from dovetail.runtime.record_table import (
    Number,
    change_record,
    delete_record,
    insert_records,
)
from dovetail.runtime.store.port import Tx


@dataclass(frozen=True, slots=True)
class Creation:
    """Insert a record."""

    record: Entity
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """Change a record; `base_version` is what it must be at before this unit touches it."""

    entity: type[Entity]
    business_id: str
    id: str
    changes: Mapping[str, Any]
    increments: Mapping[str, Number]
    base_version: int | None
    at: datetime

    @property
    def key(self) -> RecordKey:
        """The record's primary key."""
        return (entity_name(self.entity), self.business_id, self.id)


@dataclass(frozen=True, slots=True)
class Deletion:
    """Delete a record; `base_version` as of a `Change`."""

    entity: type[Entity]
    business_id: str
    id: str
    base_version: int | None
    at: datetime

    @property
    def key(self) -> RecordKey:
        """The record's primary key."""
        return (entity_name(self.entity), self.business_id, self.id)


Operation = Creation | Change | Deletion | EventDraft


def apply_operations(
    tx: Tx,
    log: EventLog,
    operations: Sequence[Operation],
    *,
    source: str,
    caused_by: str | None,
) -> None:
    """
    Write the records and append the events, in the order of the operations.

    Raises:
        VersionConflictError: A record was changed or deleted by someone else meanwhile.
        RecordConflictError: A record of that id was created by someone else meanwhile.
    """
    drafts = _Applying(tx, source, caused_by).run(operations)
    if drafts:
        log.append(tx, drafts)


class _Applying:
    def __init__(self, tx: Tx, source: str, caused_by: str | None) -> None:
        self._tx = tx
        self._source = source
        self._caused_by = caused_by
        self._drafts: list[EventDraft] = []
        # Versions that records must be at before this unit's first operation on them. Later
        # operations find what this unit has written itself.
        self._required: dict[RecordKey, int] = {}

    def run(self, operations: Sequence[Operation]) -> list[EventDraft]:
        for operation in operations:
            if isinstance(operation, Change | Deletion) and operation.base_version is not None:
                self._required.setdefault(operation.key, operation.base_version)
        index = 0
        while index < len(operations):
            operation = operations[index]
            if isinstance(operation, Creation):
                end = index
                while end < len(operations) and isinstance(operations[end], Creation):
                    end += 1
                self._create([one for one in operations[index:end] if isinstance(one, Creation)])
                index = end
                continue
            self._apply(operation)
            index += 1
        return self._drafts

    def _apply(self, operation: Change | Deletion | EventDraft) -> None:
        if isinstance(operation, EventDraft):
            self._drafts.append(operation)
            return
        try:
            if isinstance(operation, Change):
                self._change(operation)
            else:
                self._delete(operation)
        except RecordMissingError as error:
            # It was there when the unit read it.
            name = operation.entity.__name__
            raise VersionConflictError(
                f"{name} {operation.id} was deleted by someone else meanwhile.",
                entity=name,
                id=operation.id,
            ) from error

    def _create(self, creations: list[Creation]) -> None:
        made = insert_records(self._tx, [one.record for one in creations], creations[0].at)
        for record, creation in zip(made, creations, strict=True):
            self._tell("created", record, creation.at)

    def _change(self, change: Change) -> None:
        changed = change_record(
            self._tx,
            change.entity,
            change.business_id,
            change.id,
            change.changes,
            increments=change.increments,
            expected_version=self._required.pop(change.key, None),
            now=change.at,
        )
        if changed is not None:
            self._tell("updated", changed[1], change.at)

    def _delete(self, deletion: Deletion) -> None:
        deleted = delete_record(
            self._tx,
            deletion.entity,
            deletion.business_id,
            deletion.id,
            expected_version=self._required.pop(deletion.key, None),
        )
        self._tell("deleted", deleted, deletion.at)

    def _tell(self, what: str, record: Entity, at: datetime) -> None:
        if not record.__emits__:
            return
        self._drafts.append(
            EventDraft(
                type=f"{entity_name(type(record))}.{what}",
                payload=json.plain(record),
                business_id=record.business_id,
                source=self._source,
                key=record.id,
                occurred_at=at,
                caused_by=self._caused_by,
            )
        )
