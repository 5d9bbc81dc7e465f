"""Waiting for child runs: they are started, and the parent suspended, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from dovetail.core import json
from dovetail.runtime.child_run import CANCELLED, failed, has_open_children, lock_run, tie_children
from dovetail.runtime.journal import Place, insert_entries
from dovetail.runtime.log import EventDraft, EventLog
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import CANCELLING, run_states


class ChildStart(NamedTuple):
    """A child run to be started: the entry of its parent's journal, its event and its handler."""

    place: Place
    row: dict[str, Any]
    draft: EventDraft
    handler: str
    until: int | None


@dataclass(frozen=True, slots=True)
class ChildWait:
    """
    What a run waits for that has started others.

    Args:
        log: Where the events of the new ones go.
        starts: Children to be started.
        at_once: There is more to do beside them, so the run goes on before they end.
    """

    log: EventLog
    starts: tuple[ChildStart, ...] = ()
    at_once: bool = False

    outlasts_stop = True  # asked to stop, a parent waits for its children, which are asked, too

    def register(self, tx: Tx, delivery_id: int, now: int) -> bool:
        """Start what is to be started; return whether the run need not wait."""
        lock_run(tx, [delivery_id])
        if self.starts:
            self._start(tx, delivery_id)
        return self.at_once or not has_open_children(tx, delivery_id)

    def _start(self, tx: Tx, delivery_id: int) -> None:
        phase = tx.scalar(
            sa.select(run_states.c.phase).where(run_states.c.delivery_id == delivery_id)
        )
        if phase == CANCELLING:  # asked for while the handler ran
            never = failed(CANCELLED, {"code": "cancelled", "message": "It was never started."})
            outcomes = [{"run": None, **never} for _ in self.starts]
        else:
            calls = [(one.draft, one.handler) for one in self.starts]
            children = self.log.call(tx, calls)
            places = [one.place for one in self.starts]
            tie_children(tx, delivery_id, dict(zip(children, places, strict=True)))
            outcomes = [
                {"run": child, "until": one.until}
                for child, one in zip(children, self.starts, strict=True)
            ]
        rows = [
            one.row | {"result": json.encode(outcome)}
            for one, outcome in zip(self.starts, outcomes, strict=True)
        ]
        insert_entries(tx, rows)
