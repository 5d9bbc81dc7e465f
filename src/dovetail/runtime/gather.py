"""What is peculiar to runs of several deliveries, or of none: lists of events, and skipping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import Clock, to_micros
from dovetail.errors import UsageError
from dovetail.runtime.context import Context
from dovetail.runtime.delivery import Delivery
from dovetail.runtime.patience import Patience
from dovetail.runtime.store.port import Store
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


async def skip(store: Store, patience: Patience, delivery: Delivery, clock: Clock) -> None:
    """Drop a delivery that came while another of its singleton ran; its history says so."""
    record = {
        "code": "skipped",
        "message": "Another run of this singleton handler was going on; this event was skipped.",
    }
    statement = (
        sa.update(deliveries)
        .where(deliveries.c.id == delivery.id, deliveries.c.status == OPEN)
        .values(
            status=DISCARDED,
            finished_at=to_micros(clock.now()),
            error=json.encode(record),
        )
    )
    await patience.insist(lambda: store.write(lambda tx: tx.run(statement)))
