"""
Connections whose credentials the platform refuses: known to everybody, probed now and then.

    mark_refused    somebody's call was refused: the connection's work is put off
    take_probe      whoever gets True makes the one cheap call that may be made now
    clear_refused   the credentials work, or were renewed: what was put off is due at once

Work of a refused connection ends with `dovetail.errors.ConnectionPausedError`, which the runtime
puts off without counting a try.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dovetail.core.clock import from_micros, to_micros
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import OPEN, SCHEDULED, deliveries, refusals

FIRST_PROBE_S = 30.0
LONGEST_PROBE_S = 300.0
"""Renewed credentials are noticed at once where Dovetail renewed them; this is for the others."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why and since when a connection is refused, when it may be probed, and who knows."""

    connection_id: str
    why: str
    since: datetime
    probe_at: datetime
    is_told: bool

    def wait_s(self, now: datetime) -> float:
        """Return the seconds to the next probe."""
        left = (self.probe_at - now).total_seconds()
        # Longer than any wait that was ever asked for: the clock was set back.
        return max(left, 0.0) if left <= LONGEST_PROBE_S else 0.0


_LOAD = sa.select(refusals).where(refusals.c.connection_id == sa.bindparam("of_connection"))


def mark_refused(tx: Tx, connection_id: str, why: str, now: datetime) -> bool:
    """Note that a platform refuses a connection's credentials; return whether that is news."""
    if is_refused(tx, connection_id):
        tx.run(sa.update(refusals).where(refusals.c.connection_id == connection_id).values(why=why))
        return False
    fresh = tx.insert(refusals).values(
        connection_id=connection_id,
        why=why,
        since=to_micros(now),
        probe_at=to_micros(now) + int(FIRST_PROBE_S * 1_000_000),
        probes=0,
        is_told=0,
    )
    tx.run(fresh.on_conflict_do_nothing())
    return True


def clear_refused(tx: Tx, connection_id: str, now: datetime) -> bool:
    """Note that the credentials are good: what was put off is due. Return whether it is news."""
    if not is_refused(tx, connection_id):
        return False
    tx.run(sa.delete(refusals).where(refusals.c.connection_id == connection_id))
    # Of all connections: those that are still refused put their work off again, without a call.
    tx.run(
        sa.update(deliveries)
        .where(sa.text("deliveries.status = 2"), deliveries.c.error.is_not(None))
        .values(due_at=to_micros(now))
    )
    return True


def is_refused(tx: Tx, connection_id: str) -> bool:
    """Return whether calls with the connection's credentials are known to be refused."""
    return load_refusal(tx, connection_id) is not None


def load_refusal(tx: Tx, connection_id: str) -> Refusal | None:
    """Return what is known of a refused connection, None of any other."""
    row = tx.first(_LOAD, {"of_connection": connection_id})
    return _refusal(row) if row is not None else None


def list_refusals(tx: Tx) -> dict[str, Refusal]:
    """Return connection id -> what is known of it, of all that are refused."""
    return {row.connection_id: _refusal(row) for row in tx.rows(sa.select(refusals))}


def take_probe(tx: Tx, connection_id: str, now: datetime) -> bool:
    """Return whether the caller may probe now; nobody else may, before twice the time has gone."""
    row = tx.first(_LOAD, {"of_connection": connection_id})
    if row is None or _refusal(row).wait_s(now) > 0:
        return False
    wait_s = min(FIRST_PROBE_S * 2.0 ** min(row.probes + 1, 16), LONGEST_PROBE_S)
    tx.run(
        sa.update(refusals)
        .where(refusals.c.connection_id == connection_id)
        .values(probes=row.probes + 1, probe_at=to_micros(now) + int(wait_s * 1_000_000))
    )
    return True


def take_untold(tx: Tx, connection_id: str) -> Refusal | None:
    """Return a refusal that nobody was told of yet, once."""
    row = tx.first(
        sa.select(refusals).where(
            refusals.c.connection_id == connection_id, refusals.c.is_told == 0
        )
    )
    if row is None:
        return None
    tx.run(sa.update(refusals).where(refusals.c.connection_id == connection_id).values(is_told=1))
    return _refusal(row)


def put_off(tx: Tx, ids: Sequence[int], *, due_at: int, error: bytes) -> None:
    """Put deliveries off; their tries so far stay what they are."""
    for start in range(0, len(ids), 500):
        tx.run(
            sa.update(deliveries)
            .where(deliveries.c.id.in_(ids[start : start + 500]), deliveries.c.status == OPEN)
            .values(status=SCHEDULED, due_at=due_at, error=error)
        )


def _refusal(row: sa.Row[Any]) -> Refusal:
    return Refusal(
        connection_id=row.connection_id,
        why=row.why,
        since=from_micros(row.since),
        probe_at=from_micros(row.probe_at),
        is_told=bool(row.is_told),
    )
