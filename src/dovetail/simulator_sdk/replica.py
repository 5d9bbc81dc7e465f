"""A copy of a table that is a little behind: search indexes, reporting replicas."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dovetail.simulator_sdk.record import Record, TimeIndex


class Snapshot(NamedTuple):
    """A record as the replica sees it."""

    id: str
    fields: dict[str, Any]
    created_at: datetime
    modified_at: datetime
    sequence: int


class Replica:
    """
    Snapshots of live records, visible once the lag has passed since the write.

    Writers call `put` after each change. Readers call `catch_up` first, with the lag that holds
    at that moment; what was visible once stays visible.
    """

    def __init__(self) -> None:
        self.modified = TimeIndex()
        self.version = 0
        """Moves whenever what is visible changes."""
        self._waiting: deque[tuple[datetime, str, Snapshot | None]] = deque()
        self._visible: dict[str, Snapshot] = {}

    def __len__(self) -> int:
        return len(self._visible)

    def put(self, record: Record, *, at: datetime) -> None:
        """Tell the replica that the record was written or deleted at this moment."""
        snapshot = None
        if not record.deleted:
            snapshot = Snapshot(
                record.id,
                dict(record.fields),
                record.created_at,
                record.modified_at,
                record.sequence,
            )
        self._waiting.append((at, record.id, snapshot))

    def catch_up(self, *, now: datetime, lag_s: float) -> None:
        """Make everything visible that was written at least *lag_s* seconds ago."""
        limit = now - timedelta(seconds=lag_s)
        while self._waiting and self._waiting[0][0] <= limit:
            _, id, snapshot = self._waiting.popleft()
            self.version += 1
            if snapshot is None:
                self._visible.pop(id, None)
                self.modified.discard(id)
            else:
                self._visible[id] = snapshot
                self.modified.put(id, snapshot.modified_at, snapshot.sequence)

    def get(self, id: str) -> Snapshot | None:
        """Return what the replica shows of the record."""
        return self._visible.get(id)

    def all(self) -> list[Snapshot]:
        """Return every visible snapshot, by order of creation."""
        return sorted(self._visible.values(), key=lambda snapshot: snapshot.sequence)
