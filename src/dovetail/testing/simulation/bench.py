"""What the app's database holds of the workshop in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from dovetail.core import json
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import SLEEP, STEP, UNDO, deliveries, events, records, steps


class Noted(NamedTuple):
    """An entry of a journal."""

    kind: int
    step: str
    result: bytes


@dataclass(slots=True)
class ErrandRow:
    """One run of an errand, with its journal in the order of recording."""

    status: int
    finished_at: int | None
    journal: list[Noted] = field(default_factory=list)

    def recorded(self, kind: int) -> list[str]:
        """Return the steps of that kind, in the order in which they were recorded."""
        return [one.step for one in self.journal if one.kind == kind]

    @property
    def to_undo(self) -> list[str]:
        """The recorded steps that can be taken back."""
        return [one for one in self.recorded(STEP) if one.startswith(("take ", "make "))]

    @property
    def undone(self) -> list[str]:
        """The steps that were taken back."""
        return self.recorded(UNDO)

    @property
    def sleep(self) -> Noted | None:
        """The first sleep."""
        found = (one for one in self.journal if one.kind == SLEEP and one.step == "sleep ")
        return next(found, None)


@dataclass(slots=True)
class Bench:
    """
    The runs, records and events of the workshop.

    Attributes:
        errands: The runs of each errand: there should be one.
        work: (what, number) of every record that a handler wrote.
        sent: (type, number) of every event that an errand sent.
    """

    errands: dict[str, list[ErrandRow]] = field(default_factory=dict)
    work: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)


def read_bench(tx: Tx) -> Bench:
    """Return what there is."""
    bench = Bench()
    rows: dict[int, ErrandRow] = {}
    runs = (
        sa.select(deliveries, events.c.key)
        .join(events, events.c.seq == deliveries.c.event_seq)
        .where(deliveries.c.handler.endswith("errand_simulated"))
    )
    for run in tx.rows(runs):
        rows[run.id] = ErrandRow(run.status, run.finished_at)
        bench.errands.setdefault(run.key, []).append(rows[run.id])
    for row in tx.rows(sa.select(steps).order_by(steps.c.position)):
        if row.delivery_id in rows:
            noted = Noted(row.kind, f"{row.name} {row.key}", row.result)
            rows[row.delivery_id].journal.append(noted)
    for row in tx.rows(sa.select(records.c.data).where(records.c.entity == "simulated_work")):
        data = json.decode(row.data)
        bench.work[data["what"], data["number"]] += 1
    sent = sa.select(events.c.type, events.c.key).where(events.c.type.in_(_SENT))
    for row in tx.rows(sent):
        bench.sent[row.type, row.key] += 1
    return bench


_SENT = ("simulated_answer.asked", "simulated_errand.unwanted")
