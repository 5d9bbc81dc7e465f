"""What is peculiar to runs of several deliveries, or of none: lists of events, and skipping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.errors import UsageError
from dovetail.runtime.child_run import SKIPPED, end_children, failed
from dovetail.runtime.context import Context
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.patience import Patience
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import DISCARDED, OPEN, deliveries


class ListContext(Context):
    """The context of a run with a list of events: one unit of work for all of them."""

    async def step(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Refuse: on another try the list may be another one."""
        del call, args, kwargs
        raise UsageError(
            f"step({name!r}) cannot be used in a batch handler: another try may get another list. "
            "Send an event for each item, and use the step in a handler of that event."
        )


async def skip(
    store: Store,
    patience: Patience,
    delivery: Delivery,
    clock: Clock,
    on_woken: Callable[[], None],
) -> None:
    """
    Drop a delivery that came while another of its singleton ran; its history says so.

    *on_woken* is called when that wakes a run which had started it.
    """
    record = {
        "code": "skipped",
        "message": "Another run of this singleton handler was going on; this event was skipped.",
    }
    now = to_micros(clock.now())
    statement = (
        sa.update(deliveries)
        .where(deliveries.c.id == delivery.id, deliveries.c.status == OPEN)
        .values(
            status=DISCARDED,
            finished_at=now,
            error=json.encode(record),
        )
    )

    def work(tx: Tx) -> None:
        if (
            tx.run(statement)
            and delivery.is_child
            and end_children(tx, {delivery.id: failed(SKIPPED, record)}, now)
        ):
            tx.after_commit(on_woken)

    await patience.insist(lambda: store.write(work))
