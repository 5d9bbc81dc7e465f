"""
Child runs: which run has started which, and how a parent learns of the end of its children.

    started  in the transaction that suspends the parent: the entry of its journal, an event for
             the one handler, the delivery, and a row that ties the child to the entry
    ended    in the transaction that ends the child: the outcome goes into the entry, and the last
             child that is still open wakes the parent

The outcome is kept in the journal of the parent, so that it does not matter what becomes of the
child's own history. An entry that has an outcome keeps it: what the parent has seen stays true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.core import json
from dovetail.runtime.journal import Place
from dovetail.runtime.store.port import RowStatement, Tx
from dovetail.runtime.store.schema import CHILD, SCHEDULED, child_runs, deliveries, steps

RETURNED, DIED, CANCELLED, SKIPPED = "done", "dead", "cancelled", "skipped"
"""How a child run ends."""

# Bound to parameters once: built for each child, they cost more than they do.
_IS_ENTRY = sa.and_(
    steps.c.delivery_id == sa.bindparam("of_run"),
    steps.c.kind == sa.literal_column(str(CHILD)),
    steps.c.name == sa.bindparam("of_name"),
    steps.c.key == sa.bindparam("of_key"),
    steps.c.repeat == sa.bindparam("of_repeat"),
)
_STORED = sa.select(steps.c.result).where(_IS_ENTRY)
_RECORD = RowStatement(
    sa.update(steps)
    .where(_IS_ENTRY)
    .values(result=sa.bindparam("outcome"), recorded_at=sa.bindparam("at")),
    "outcome",
    "at",
    "of_run",
    "of_name",
    "of_key",
    "of_repeat",
)
_FORGET = sa.delete(steps).where(_IS_ENTRY)


def returned(result: bytes) -> dict[str, Any]:
    """Return the outcome of a child that came to its end, from the JSON of its result."""
    return {"status": RETURNED, "result": msgspec.Raw(result)}


def failed(status: str, error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a child that ended otherwise; its trace stays in its own story."""
    return {"status": status, "error": {k: v for k, v in error.items() if k != "traceback"}}


def lock_run(tx: Tx, delivery_ids: Sequence[int]) -> None:
    """
    Let nobody else tell or suspend these runs meanwhile, where several write at once.

    Of two children that end together, the later one has to see that it is the last.
    """
    ids = sorted(delivery_ids)
    tx.rows(
        sa.select(deliveries.c.id)
        .where(deliveries.c.id.in_(ids))
        .order_by(deliveries.c.id)
        .with_for_update()
    )


def tie_children(tx: Tx, parent_id: int, children: Mapping[int, Place]) -> None:
    """Note which entries of a parent get the outcomes of these new children."""
    tx.run(
        sa.insert(child_runs),
        [
            {
                "delivery_id": child,
                "parent_id": parent_id,
                "name": place.name,
                "key": place.key,
                "repeat": place.repeat,
                "is_open": 1,
            }
            for child, place in children.items()
        ],
    )


def open_children(tx: Tx, parent_id: int) -> list[int]:
    """Return the children that a run has started and that have not ended, the latest first."""
    query = (
        sa.select(child_runs.c.delivery_id)
        .where(child_runs.c.parent_id == parent_id, child_runs.c.is_open == 1)
        .order_by(child_runs.c.delivery_id.desc())
    )
    return [row.delivery_id for row in tx.rows(query)]


def has_open_children(tx: Tx, parent_id: int) -> bool:
    """Return whether a run has started something that has not ended."""
    query = (
        sa.select(child_runs.c.delivery_id)
        .where(child_runs.c.parent_id == parent_id, child_runs.c.is_open == 1)
        .limit(1)
    )
    return tx.first(query) is not None


def end_children(tx: Tx, outcomes: Mapping[int, dict[str, Any]], now: int) -> bool:
    """
    Tell the parents how these runs ended, within the transaction of their ends.

    Returns:
        Whether a parent was woken by it.
    """
    rows = [row for ids in _slices(list(outcomes)) for row in tx.rows(_ties(ids))]
    if not rows:
        return False
    parents = sorted({row.parent_id for row in rows})
    lock_run(tx, parents)
    ended: list[int] = []
    entries: list[dict[str, Any]] = []
    for row in rows:
        outcome = _outcome(tx, row, outcomes[row.delivery_id])
        if outcome is not None:
            entries.append(_entry(row.parent_id, place_of(row), outcome, now))
            ended.append(row.delivery_id)
    tx.set_many(child_runs.c.delivery_id, ended, {"is_open": 0})
    tx.run_rows(_RECORD, entries)
    ready = [one for one in parents if not has_open_children(tx, one)]
    woken = tx.run(
        sa.update(deliveries)
        .where(deliveries.c.id.in_(ready), deliveries.c.status == SCHEDULED)
        .values(due_at=now)
    )
    return bool(woken)


def give_up_child(tx: Tx, parent_id: int, place: Place, now: int) -> dict[str, Any]:
    """Note that a child was not done in time, unless it was; return what is recorded."""
    lock_run(tx, [parent_id])
    outcome = outcome_at(tx, parent_id, place)
    if outcome is None or "until" not in outcome:
        return outcome or {}
    outcome = {"run": outcome["run"], "timed_out": True}
    record_outcome(tx, parent_id, place, outcome, now)
    tx.run(
        sa.update(child_runs).where(child_runs.c.delivery_id == outcome["run"]).values(is_open=0)
    )
    return outcome


def outcome_at(tx: Tx, parent_id: int, place: Place) -> dict[str, Any] | None:
    """Return what a parent's journal holds of a child; None when it was begun anew."""
    stored = tx.scalar(_STORED, _of(parent_id, place))
    return None if stored is None else json.decode(stored)


def record_outcome(tx: Tx, parent_id: int, place: Place, outcome: dict[str, Any], now: int) -> None:
    """Change what a parent's journal holds of a child."""
    tx.run_rows(_RECORD, [_entry(parent_id, place, outcome, now)])


def forget_child(tx: Tx, parent_id: int, child: int, place: Place) -> None:
    """Let a parent start a child anew when it comes there again."""
    tx.run(sa.delete(child_runs).where(child_runs.c.delivery_id == child))
    tx.run(_FORGET, _of(parent_id, place))


def place_of(tie: sa.Row[Any]) -> Place:
    """Return the place that a row of ``child_runs`` names."""
    return Place(CHILD, tie.name, tie.key, tie.repeat)


def _outcome(tx: Tx, tie: sa.Row[Any], ending: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the parent's journal is to hold from now on; None for what it holds."""
    outcome = outcome_at(tx, tie.parent_id, place_of(tie))
    if outcome is None or outcome.get("run") != tie.delivery_id:
        return None  # the parent began anew, and this child is none of its any more
    if tie.is_open:
        return {"run": tie.delivery_id, **ending}
    if "result" in ending and "error" in outcome:
        # Replayed by itself. The parent has seen it fail; a replay of the parent looks for this.
        return outcome | {"later": ending["result"]}
    return None


def _entry(parent_id: int, place: Place, outcome: dict[str, Any], now: int) -> dict[str, Any]:
    return {"outcome": json.encode(outcome), "at": now, **_of(parent_id, place)}


def _of(parent_id: int, place: Place) -> dict[str, Any]:
    return {
        "of_run": parent_id,
        "of_name": place.name,
        "of_key": place.key,
        "of_repeat": place.repeat,
    }


def _ties(delivery_ids: Sequence[int]) -> sa.Select[Any]:
    return sa.select(child_runs).where(child_runs.c.delivery_id.in_(delivery_ids))


def _slices(ids: list[int]) -> list[list[int]]:
    return [ids[first : first + 500] for first in range(0, len(ids), 500)]
