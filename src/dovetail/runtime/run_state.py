"""Where a run is that is more than one pass: one row, from its first pause or stop to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import ENDED, run_states


def begin_phase(tx: Tx, delivery_id: int, phase: int, now: int, **kept: Any) -> None:
    """Note that a run has come to a phase, with what is kept of it; whatever it had before."""
    values = {"phase": phase, "updated_at": now, **kept}
    statement = tx.insert(run_states).values(delivery_id=delivery_id, **values)
    tx.run(statement.on_conflict_do_update(index_elements=["delivery_id"], set_=values))


def set_phase(tx: Tx, delivery_ids: Sequence[int], phase: int, now: int) -> None:
    """Note the phase of runs that have one."""
    tx.run(
        sa.update(run_states)
        .where(run_states.c.delivery_id.in_(list(delivery_ids)))
        .values(phase=phase, updated_at=now)
    )


def end_states(tx: Tx, delivery_ids: Sequence[int], now: int) -> None:
    """Note that runs are over."""
    set_phase(tx, delivery_ids, ENDED, now)
