"""
Replaying runs that have started others.

A run that died of its children meets them again: one that is dead is replayed with it, one that
was replayed by itself meanwhile has its result, and one that cannot go on (it was cancelled,
skipped, discarded or too late) is started anew. Other children keep the outcome that was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.runtime.cancellation import request_cancel
from dovetail.runtime.child_run import (
    forget_child,
    open_children,
    outcome_at,
    place_of,
    record_outcome,
)
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import (
    DEAD,
    DISCARDED,
    OPEN,
    SCHEDULED,
    child_runs,
    deliveries,
)


def reopen_children(tx: Tx, parents: Mapping[int, bytes | None], now: int) -> list[int]:
    """
    Let dead runs wait again for the children that they have died of.

    Args:
        tx: The transaction of the replay.
        parents: The runs and their recorded errors.
        now: The time.

    Returns:
        The children that are dead and have to be replayed.
    """
    dead: list[int] = []
    for parent, error in parents.items():
        for child in _died_of(error):
            if _reopen(tx, parent, child, now):
                dead.append(child)
    return dead


def forget_children(tx: Tx, parents: Sequence[int], now: int) -> set[int]:
    """
    Stop what these runs had started, and let it be none of theirs: they begin anew.

    Returns:
        The dead ones among them, and of what they had started. They are discarded: each is done
        anew, and must not be replayed beside that.
    """
    discarded: set[int] = set()
    for parent in parents:
        for child in open_children(tx, parent):
            reason = f"Run {parent}, which had started it, was replayed from its start."
            request_cancel(tx, child, reason, now)
        dead = _dead_children(tx, parent)
        tx.run(sa.delete(child_runs).where(child_runs.c.parent_id == parent))
        tx.run(sa.update(deliveries).where(deliveries.c.id.in_(dead)).values(status=DISCARDED))
        discarded |= {*dead, *forget_children(tx, dead, now)}
    return discarded


def _dead_children(tx: Tx, parent: int) -> list[int]:
    query = (
        sa.select(deliveries.c.id)
        .join(child_runs, child_runs.c.delivery_id == deliveries.c.id)
        .where(child_runs.c.parent_id == parent, deliveries.c.status == DEAD)
    )
    return [row.id for row in tx.rows(query)]


def _died_of(error: bytes | None) -> list[int]:
    facts: dict[str, Any] = (json.decode(error) if error else {}).get("facts", {})
    runs = facts.get("runs")
    return [one for one in runs if isinstance(one, int)] if isinstance(runs, list) else []


def _reopen(tx: Tx, parent: int, child: int, now: int) -> bool:
    """Return whether the child has to be replayed."""
    tie = tx.first(
        sa.select(child_runs, deliveries.c.status)
        .join(deliveries, deliveries.c.id == child_runs.c.delivery_id)
        .where(child_runs.c.delivery_id == child, child_runs.c.parent_id == parent)
    )
    if tie is None:
        return False
    place = place_of(tie)
    outcome = outcome_at(tx, parent, place) or {}
    if outcome.get("run") != child or "result" in outcome:
        return False
    if "later" in outcome:
        record_outcome(tx, parent, place, {"run": child, "result": outcome["later"]}, now)
        return False
    if "timed_out" in outcome or tie.status not in (OPEN, SCHEDULED, DEAD):
        forget_child(tx, parent, child, place)
        return False
    tx.run(sa.update(child_runs).where(child_runs.c.delivery_id == child).values(is_open=1))
    record_outcome(tx, parent, place, {"run": child, "until": None}, now)
    return bool(tie.status == DEAD)
