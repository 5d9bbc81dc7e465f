"""
Cancellation: asking a run to stop, durably.

A run that has not begun is cancelled at once. One that sleeps or waits is woken, one that runs goes
on to its next step that is not recorded: there RunCancelled is raised, and what it has done is
undone. Its open child runs are asked, too, and it waits for their ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from dovetail.core import json
from dovetail.runtime.child_run import CANCELLED as CHILD_CANCELLED
from dovetail.runtime.child_run import end_children, failed, has_open_children, open_children
from dovetail.runtime.run_state import begin_phase, end_states
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import (
    CANCELLED,
    CANCELLING,
    COMPENSATED,
    COMPENSATING,
    OPEN,
    SCHEDULED,
    deliveries,
    run_states,
    steps,
)
from dovetail.runtime.wait import forget_waits


def request_cancel(tx: Tx, delivery_id: int, reason: str, now: int) -> str:
    """
    Ask a run to stop.

    Returns:
        ``cancelled``: it had not begun; ``cancelling``: it will; ``over``: it is done, dead or
        being undone already; ``unknown``: there is no such run.
    """
    status = tx.scalar(sa.select(deliveries.c.status).where(deliveries.c.id == delivery_id))
    if status is None:
        return "unknown"
    phase = tx.scalar(sa.select(run_states.c.phase).where(run_states.c.delivery_id == delivery_id))
    if status not in (OPEN, SCHEDULED) or phase in (COMPENSATING, COMPENSATED):
        return "over"
    begin_phase(tx, delivery_id, CANCELLING, now, reason=reason)
    for child in open_children(tx, delivery_id):
        request_cancel(tx, child, f"Run {delivery_id}, which had started it, was cancelled.", now)
    if status == OPEN:
        return "cancelling"
    forget_waits(tx, [delivery_id])
    begun = tx.scalar(
        sa.select(sa.func.count()).select_from(steps).where(steps.c.delivery_id == delivery_id)
    )
    if begun:
        if has_open_children(tx, delivery_id):
            return "cancelling"  # the last of them wakes it: what began later is undone first
        tx.run(sa.update(deliveries).where(deliveries.c.id == delivery_id).values(due_at=now))
        return "cancelling"
    end_cancelled(tx, [delivery_id], now)
    return "cancelled"


def end_cancelled(
    tx: Tx, delivery_ids: Sequence[int], now: int, undone: Sequence[str] = ()
) -> bool:
    """
    Close runs that were cancelled and have nothing left to undo.

    Returns:
        Whether that has woken a run that had started one of them.
    """
    record = {"code": "cancelled", "message": "The run was cancelled.", "undone": list(undone)}
    tx.run(
        sa.update(deliveries)
        .where(deliveries.c.id.in_(list(delivery_ids)))
        .values(status=CANCELLED, finished_at=now, error=json.encode(record))
    )
    end_states(tx, delivery_ids, now)
    return end_children(tx, dict.fromkeys(delivery_ids, failed(CHILD_CANCELLED, record)), now)


def asked_to_stop(tx: Tx) -> list[int]:
    """Return the runs that were asked to stop and have not."""
    query = sa.select(run_states.c.delivery_id).where(sa.text("phase = 1"))
    return [row.delivery_id for row in tx.rows(query)]
