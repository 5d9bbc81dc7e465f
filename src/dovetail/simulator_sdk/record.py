"""Records as a platform keeps them: insertion ordered, soft deleted, indexed, with history."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple


class Version(NamedTuple):
    """One past or present value of one field."""

    value: Any
    at: datetime
    source: str


@dataclass(slots=True)
class Record:
    """
    One record. `fields` uses the platform's own field names.

    `merged_into` is the id of the record that this one became part of. `sequence` counts
    insertions in its table.
    """

    id: str
    fields: dict[str, Any]
    created_at: datetime
    modified_at: datetime
    sequence: int = 0
    source: str = ""
    deleted_at: datetime | None = None
    merged_into: str | None = None
    history: dict[str, list[Version]] = field(default_factory=dict)

    @property
    def deleted(self) -> bool:
        """Return whether the record was deleted (it can still be seen where the platform does)."""
        return self.deleted_at is not None


class TimeIndex:
    """Ids ordered by a moment, then by an order of arrival; changes cost O(log n)."""

    def __init__(self) -> None:
        self._entries: list[tuple[datetime, int, str]] = []
        self._place: dict[str, tuple[datetime, int, str]] = {}

    def put(self, id: str, moment: datetime, order: int) -> None:
        """Set or move an id."""
        self.discard(id)
        entry = (moment, order, id)
        self._place[id] = entry
        insort(self._entries, entry)

    def discard(self, id: str) -> None:
        """Forget an id, known or not."""
        entry = self._place.pop(id, None)
        if entry is not None:
            del self._entries[bisect_left(self._entries, entry)]

    def ids(self, *, since: datetime | None = None, until: datetime | None = None) -> Iterator[str]:
        """Return ids from *since* to *until*, both included, oldest first."""
        start = 0 if since is None else bisect_left(self._entries, (since, -1, ""))
        for position in range(start, len(self._entries)):
            moment, _, id = self._entries[position]
            if until is not None and moment > until:
                return
            yield id


class Table:
    """
    The records of one resource.

    Args:
        name: Our plural name of the resource, ``contacts``.
        indexed: Fields that `find` looks up, live records only, by their exact value.
        history: How many versions of each field are kept; 0 keeps none.
    """

    def __init__(self, name: str, *, indexed: tuple[str, ...] = (), history: int = 0) -> None:
        self.name = name
        self.modified = TimeIndex()
        """Every record, deleted ones too, by modification time."""
        self._order: list[Record] = []
        self._by_id: dict[str, Record] = {}
        self._live = 0
        self._indexes: dict[str, dict[Any, dict[str, None]]] = {name: {} for name in indexed}
        self._history = history

    def __len__(self) -> int:
        return self._live

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the live records, oldest insertion first."""
        return (record for record in self._order if record.deleted_at is None)

    @property
    def size(self) -> int:
        """Return how many records were ever inserted."""
        return len(self._order)

    def at(self, position: int) -> Record:
        """Return the record of this `sequence`."""
        return self._order[position]

    def scan(self, *, start: int = 0) -> Iterator[Record]:
        """Iterate over all records, deleted ones too, from the one with this `sequence` on."""
        for position in range(start, len(self._order)):
            yield self._order[position]

    def get(self, id: str) -> Record | None:
        """Return the record, deleted or not."""
        return self._by_id.get(id)

    def live(self, id: str) -> Record | None:
        """Return the record unless it is unknown or deleted."""
        record = self._by_id.get(id)
        return record if record is not None and record.deleted_at is None else None

    def add_index(self, field_name: str) -> None:
        """Make `find` able to look this field up."""
        if field_name not in self._indexes:
            self._indexes[field_name] = {}
            for record in self:
                self._index(record, (field_name,))

    def find(self, field_name: str, value: Any) -> list[Record]:
        """Return the live records whose indexed field has exactly this value, oldest first."""
        ids = self._indexes[field_name].get(value, {})
        return [self._by_id[id] for id in ids]

    def insert(
        self,
        id: str,
        fields: Mapping[str, Any],
        *,
        at: datetime,
        modified_at: datetime | None = None,
        source: str = "",
    ) -> Record:
        """Add a record; the id must be new."""
        if id in self._by_id:
            msg = f"{self.name} already has {id}"
            raise ValueError(msg)
        record = Record(
            id=id,
            fields=dict(fields),
            created_at=at,
            modified_at=modified_at or at,
            sequence=len(self._order),
            source=source,
        )
        self._order.append(record)
        self._by_id[id] = record
        self._live += 1
        self._index(record, tuple(self._indexes))
        self.modified.put(id, record.modified_at, record.sequence)
        self._remember(record, fields, record.modified_at, source)
        return record

    def update(
        self, id: str, changes: Mapping[str, Any], *, at: datetime, source: str = ""
    ) -> Record:
        """Set fields of a live record and its modification time, even when nothing differs."""
        record = self._by_id[id]
        touched = tuple(name for name in self._indexes if name in changes)
        self._unindex(record, touched)
        self._remember(
            record,
            {name: new for name, new in changes.items() if record.fields.get(name) != new},
            at,
            source,
        )
        record.fields.update(changes)
        record.source = source
        self._index(record, touched)
        self._touch(record, at)
        return record

    def delete(
        self, id: str, *, at: datetime, source: str = "", merged_into: str | None = None
    ) -> Record:
        """Delete a live record softly."""
        record = self._by_id[id]
        self._unindex(record, tuple(self._indexes))
        record.deleted_at = at
        record.merged_into = merged_into
        record.source = source
        self._live -= 1
        self._touch(record, at)
        return record

    def restore(self, id: str, *, at: datetime) -> Record:
        """Undo a deletion."""
        record = self._by_id[id]
        record.deleted_at = None
        record.merged_into = None
        self._live += 1
        self._index(record, tuple(self._indexes))
        self._touch(record, at)
        return record

    def _touch(self, record: Record, at: datetime) -> None:
        record.modified_at = at
        self.modified.put(record.id, at, record.sequence)

    def _index(self, record: Record, names: tuple[str, ...]) -> None:
        for name in names:
            value = record.fields.get(name)
            if value is not None:
                self._indexes[name].setdefault(value, {})[record.id] = None

    def _unindex(self, record: Record, names: tuple[str, ...]) -> None:
        for name in names:
            value = record.fields.get(name)
            ids = self._indexes[name].get(value)
            if ids is not None:
                ids.pop(record.id, None)
                if not ids:
                    del self._indexes[name][value]

    def _remember(
        self, record: Record, changes: Mapping[str, Any], at: datetime, source: str
    ) -> None:
        if not self._history:
            return
        for name, value in changes.items():
            versions = record.history.setdefault(name, [])
            versions.insert(0, Version(value, at, source))
            del versions[self._history :]
