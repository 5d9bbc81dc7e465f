"""
The journal of a run: what it has done, so that another pass goes on where it stopped.

An entry is found by its kind, name and key, and by how often those were used before in the pass;
never by its position, so that steps may be moved, added and removed between deploys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.core.log import get_logger
from dovetail.errors import UsageError
from dovetail.runtime.delivery import RUN_PREFIX
from dovetail.runtime.store.port import RowStatement, Store, Tx
from dovetail.runtime.store.schema import (
    CHILD,
    CHILD_UNDO,
    COMMIT,
    STEP,
    UNDO,
    run_states,
    steps,
)

log = get_logger("dovetail.journal")


class Place(NamedTuple):
    """Where an entry is found in the journal of its run."""

    kind: int
    name: str
    key: str
    repeat: int

    def __str__(self) -> str:
        name = f"{RUN_PREFIX}{self.name}" if self.kind in (CHILD, CHILD_UNDO) else self.name
        words = f"{name} [{self.key}]" if self.key else name
        return f"{words} #{self.repeat + 1}" if self.repeat else words


def place_of_undo(place: Place) -> Place:
    """Return where it is recorded that a step, or a child run, was taken back."""
    return place._replace(kind=CHILD_UNDO if place.kind == CHILD else UNDO)


class Entry(NamedTuple):
    """What is recorded at a place."""

    position: int
    input_hash: str
    result: bytes
    recorded_at: int
    undo: str | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How much one run may record. At half of a bound it is logged, at the bound refused.

    Args:
        result_bytes: One result.
        entries: Steps, sleeps and waits of one run.
        journal_bytes: All results of one run together.
    """

    result_bytes: int = 1024 * 1024
    entries: int = 10_000
    journal_bytes: int = 32 * 1024 * 1024


class Journal:
    """
    The entries of one run.

    Args:
        delivery_id: The run.
        store: Where entries are kept.
        clock: Time.
        fresh: The run has never been tried, so nothing can be recorded of it.
        bounds: How much it may record.
    """

    __slots__ = (
        "_bounds", "_bytes", "_clock", "_position", "_repeats", "_store", "_warned",
        "delivery_id", "entries", "error", "loaded", "phase",
    )  # fmt: skip

    def __init__(
        self, delivery_id: int, store: Store, clock: Clock, *, fresh: bool, bounds: Bounds
    ) -> None:
        self.delivery_id = delivery_id
        self.entries: dict[Place, Entry] = {}
        self.loaded = fresh
        self.phase: int | None = None
        self.error: dict[str, Any] | None = None
        self._store = store
        self._clock = clock
        self._bounds = bounds
        self._repeats: dict[tuple[int, str, str], int] = {}
        self._position = 0
        self._bytes = 0
        self._warned: set[str] = set()

    async def load(self) -> None:
        """Read what is recorded; once."""
        if self.loaded:
            return
        rows, state = await self._store.read(lambda tx: _load(tx, self.delivery_id))
        for row in rows:
            place = Place(row.kind, row.name, row.key, row.repeat)
            self.entries[place] = Entry(
                row.position, row.input_hash, row.result, row.recorded_at, row.undo
            )
            self._position = max(self._position, row.position)
            self._bytes += len(row.result)
        if state is not None:
            self.phase = state.phase
            self.error = json.decode(state.error) if state.error else None
        self.loaded = True

    def place(self, kind: int, name: str, key: str) -> Place:
        """Return the next place of that name and key in this pass."""
        used = (kind, name, key)
        repeat = self._repeats.get(used, 0)
        self._repeats[used] = repeat + 1
        return Place(kind, name, key, repeat)

    def rewind(self) -> None:
        """Begin another pass."""
        self._repeats.clear()

    def row(
        self,
        place: Place,
        result: bytes,
        *,
        started_at: int,
        input_hash: str = "",
        undo: str | None = None,
    ) -> dict[str, Any]:
        """
        Return the row of a new entry, counted as recorded.

        Raises:
            UsageError: The journal of the run would be larger than it may be.
        """
        self._measure(place, result)
        self._position += 1
        self._bytes += len(result)
        now = to_micros(self._clock.now())
        self.entries[place] = Entry(self._position, input_hash, result, now, undo)
        return {
            "delivery_id": self.delivery_id,
            "kind": place.kind,
            "name": place.name,
            "key": place.key,
            "repeat": place.repeat,
            "position": self._position,
            "input_hash": input_hash,
            "result": result,
            "started_at": started_at,
            "recorded_at": now,
            "undo": undo,
        }

    async def record(self, row: dict[str, Any]) -> None:
        """Write an entry durably."""
        await self._store.write_each(insert_entries, row)

    def to_undo(self) -> list[tuple[Place, Entry]]:
        """Return the recorded steps that can be taken back and were not, the latest first."""
        found = [
            (place, entry if place.kind == STEP else entry._replace(result=returned))
            for place, entry in self.entries.items()
            if place.kind in (STEP, CHILD)
            and entry.undo is not None
            and place_of_undo(place) not in self.entries
            and (returned := _returned(place, entry)) is not None
        ]
        return sorted(found, key=lambda one: one[1].position, reverse=True)

    def undone(self) -> list[str]:
        """Return the names of the steps that were taken back, in that order."""
        found = [
            (entry.position, place)
            for place, entry in self.entries.items()
            if place.kind in (UNDO, CHILD_UNDO)
        ]
        return [str(place) for _, place in sorted(found)]

    def committed(self) -> list[tuple[str, str, str]]:
        """Return what was written when the run was suspended: verb, what, id; in order."""
        found = sorted(
            (entry.position, entry.result)
            for place, entry in self.entries.items()
            if place.kind == COMMIT
        )
        return [tuple(one) for _, result in found for one in json.decode(result)]

    def _measure(self, place: Place, result: bytes) -> None:
        bounds = self._bounds
        size = len(result)
        if (
            2 * size <= bounds.result_bytes
            and 2 * len(self.entries) <= bounds.entries
            and 2 * (self._bytes + size) <= bounds.journal_bytes
        ):
            return
        if size > bounds.result_bytes:
            raise UsageError(
                f"Step {place.name!r} returned {size:,} bytes; at most {bounds.result_bytes:,} "
                "can be recorded. Store the data elsewhere and return where it is.",
                step=place.name,
            )
        if len(self.entries) >= bounds.entries:
            raise UsageError(
                f"This run has recorded {len(self.entries):,} steps, which is as many as a run "
                f"may; {place.name!r} is one too many. Send an event for each part of the work, "
                "so that each part is a run of its own.",
                step=place.name,
            )
        if self._bytes + size > bounds.journal_bytes:
            raise UsageError(
                f"The results that this run has recorded come to {self._bytes:,} bytes; with "
                f"those of {place.name!r} they would be more than {bounds.journal_bytes:,}. "
                "Store large data elsewhere and return where it is.",
                step=place.name,
            )
        if 2 * size > bounds.result_bytes:
            self._warn("result_bytes", size, bounds.result_bytes, place)
        if 2 * len(self.entries) > bounds.entries:
            self._warn("entries", len(self.entries), bounds.entries, place)
        if 2 * (self._bytes + size) > bounds.journal_bytes:
            self._warn("journal_bytes", self._bytes + size, bounds.journal_bytes, place)

    def _warn(self, what: str, now: int, bound: int, place: Place) -> None:
        if what in self._warned:
            return
        self._warned.add(what)
        log.warning(
            "journal_grows", run=self.delivery_id, step=str(place), what=what, now=now, bound=bound
        )


def _returned(place: Place, entry: Entry) -> bytes | None:
    """Return the result of a step or child run; None while there is none."""
    if place.kind == STEP:
        return entry.result
    outcome: dict[str, Any] = json.decode(entry.result)
    return json.encode(outcome["result"]) if "result" in outcome else None


_INSERT_ENTRY = RowStatement(
    sa.insert(steps),
    "delivery_id",
    "kind",
    "name",
    "key",
    "repeat",
    "position",
    "input_hash",
    "result",
    "started_at",
    "recorded_at",
    "undo",
)


def insert_entries(tx: Tx, rows: list[dict[str, Any]]) -> list[None]:
    """Insert the rows of entries; a batched operation of the store."""
    tx.run_rows(_INSERT_ENTRY, rows)
    return [None] * len(rows)


_ENTRIES = sa.select(steps).where(steps.c.delivery_id == sa.bindparam("run"))
_STATE = sa.select(run_states).where(run_states.c.delivery_id == sa.bindparam("run"))


def _load(tx: Tx, delivery_id: int) -> tuple[Sequence[Any], Any]:
    return tx.rows(_ENTRIES, {"run": delivery_id}), tx.first(_STATE, {"run": delivery_id})
