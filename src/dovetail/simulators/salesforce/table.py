"""
Rows of one object with the indexes that queries and upserts need, and the commit lag.

Writes and reads by id see `committed` at once. Queries see `visible`, where each version arrives
when its lag is over, carrying the SystemModstamp of the moment it was written: a reader that
trusts the clock alone misses it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from dovetail.simulators.salesforce.sobject import Row, SObject


class RowIndex:
    """Rows by id, by key field (ignoring case) and by SystemModstamp."""

    def __init__(self, sobject: SObject) -> None:
        self.rows: dict[str, Row] = {}
        self._by_key: dict[str, dict[str, set[str]]] = {name: {} for name in sobject.indexed}
        self._stamps: list[tuple[str, str]] = []

    def widen(self, sobject: SObject, name: str, value: Any) -> None:
        """Give every row a further field; nothing else about them changes."""
        for row_id, row in self.rows.items():
            self.rows[row_id] = row | {name: value}
        if name in sobject.indexed:
            self._by_key[name] = {}

    @property
    def key_names(self) -> frozenset[str]:
        """The fields that `ids_by_key` knows."""
        return frozenset(self._by_key)

    def put(self, row_id: str, row: Row | None) -> Row | None:
        """Store a version of a row, or forget it with None; return the version before."""
        before = self.rows.get(row_id)
        if before is not None:
            self._forget(row_id, before)
        if row is None:
            self.rows.pop(row_id, None)
            return before
        self.rows[row_id] = row
        insort(self._stamps, (row["SystemModstamp"], row_id))
        for name, ids in self._by_key.items():
            if (value := row[name]) is not None:
                ids.setdefault(value.lower(), set()).add(row_id)
        return before

    def _forget(self, row_id: str, before: Row) -> None:
        entry = (before["SystemModstamp"], row_id)
        del self._stamps[bisect_left(self._stamps, entry)]
        for name, ids in self._by_key.items():
            if (value := before[name]) is not None:
                holders = ids[value.lower()]
                holders.discard(row_id)
                if not holders:
                    del ids[value.lower()]

    def ids_by_key(self, name: str, value: str) -> set[str]:
        """Return the ids of rows, deleted ones too, that hold *value* in an indexed field."""
        return self._by_key[name].get(value.lower(), set())

    def between(self, low: str | None, high: str | None) -> Iterator[Row]:
        """Yield rows with low <= SystemModstamp <= high, ordered by SystemModstamp and Id."""
        start = 0 if low is None else bisect_left(self._stamps, (low, ""))
        # "~" sorts after every character of an id: the whole second of the bound is included.
        stop = len(self._stamps) if high is None else bisect_left(self._stamps, (high, "~"))
        for _, row_id in self._stamps[start:stop]:
            yield self.rows[row_id]


class Table:
    """All rows of one object."""

    def __init__(self, sobject: SObject) -> None:
        self.sobject = sobject
        self.committed = RowIndex(sobject)
        self._visible = RowIndex(sobject)
        self._arriving: deque[tuple[datetime, str, Row | None]] = deque()

    def widen(self, sobject: SObject, name: str, value: Any) -> None:
        """Give every row, and every version on its way, a further field with this value."""
        self.sobject = sobject
        for index in (self.committed, self._visible):
            index.widen(sobject, name, value)
        self._arriving = deque(
            (at, row_id, None if row is None else row | {name: value})
            for at, row_id, row in self._arriving
        )

    def put(self, row_id: str, row: Row | None, written_at: datetime) -> Row | None:
        """Write a version; return the version before, for `take_back`."""
        self._arriving.append((written_at, row_id, row))
        return self.committed.put(row_id, row)

    def take_back(self, row_id: str, before: Row | None) -> None:
        """Undo the last `put` that has not been taken back."""
        self.committed.put(row_id, before)
        if self._arriving:
            self._arriving.pop()
        else:
            # A query inside the same composite has seen the write already.
            self._visible.put(row_id, before)

    def visible(self, now: datetime, lag_s: float) -> RowIndex:
        """Return what a query sees; what was visible once stays so when the lag grows."""
        limit = now - timedelta(seconds=lag_s)
        while self._arriving and self._arriving[0][0] <= limit:
            _, row_id, row = self._arriving.popleft()
            self._visible.put(row_id, row)
        return self._visible
