"""
Once per key: an operation whose key and result are recorded as a `SyncOperation`.

The key is claimed in a transaction of its own before the call, so that two runs with one key cannot
both make it. A claim belongs to its delivery: when that is resumed after a crash it goes on, and
when that was given up another run may take the key over.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.ids import derive_id
from dovetail.errors import RecordConflictError, TransientError, UsageError
from dovetail.model.integration import SyncOperation
from dovetail.runtime.context import Context, RunContext, hash_input, read_back
from dovetail.runtime.record_table import change_record, delete_record, insert_record, load_records
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import OPEN, SCHEDULED, deliveries

_MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
"""Part of the derived ids of operations, which depend on nothing but tenant and key."""


async def run_once(
    context: Context, key: str, call: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    """
    Make the call unless the key's result is recorded; return the result.

    Raises:
        UsageError: Not in a handler, or the key was used with other arguments.
        TransientError: Another run holds the key right now; this one is tried again.
    """
    if not isinstance(context, RunContext):
        raise UsageError("idempotent() needs a handler: its claim belongs to a run.")
    operation = _Operation(context, key, hash_input(args, kwargs))
    recorded = await context.store.write(operation.claim)
    if recorded is not None:
        return read_back(recorded, call)
    try:
        result = await context.step(f"idempotent:{key}", call, *args, **kwargs)
    except Exception:
        await context.store.write(operation.give_back)
        raise
    await context.store.write(lambda tx: operation.record(tx, json.plain(result)))
    return result


class _Operation:
    def __init__(self, context: RunContext, key: str, input_hash: str) -> None:
        self.store: Store = context.store
        self.business_id = context.unit.business_id
        self.key = key
        self.input_hash = input_hash
        self.owner = str(context.delivery_id)
        self.now = context.clock.now()
        self.id = derive_id(_MOMENT, "operation", self.business_id, key)

    def claim(self, tx: Tx) -> bytes | None:
        found = load_records(tx, SyncOperation, self.business_id, [self.id]).get(self.id)
        if found is None:
            self._insert(tx)
            return None
        if found.input_hash != self.input_hash:
            raise UsageError(
                f"The idempotency key {self.key!r} was used with other arguments before. Use "
                "another key, or pass the same arguments.",
                key=self.key,
            )
        if found.timestamp is not None:
            return json.encode(found.result)
        if found.operation != self.owner and _is_open(tx, found.operation):
            raise TransientError(
                f"Another run is working on the idempotency key {self.key!r}; this one waits.",
                operation="idempotent",
            )
        change_record(
            tx,
            SyncOperation,
            self.business_id,
            self.id,
            {"operation": self.owner},
            now=self.now,
        )
        return None

    def record(self, tx: Tx, result: Any) -> None:
        changes = {"result": result, "timestamp": self.now}
        change_record(tx, SyncOperation, self.business_id, self.id, changes, now=self.now)

    def give_back(self, tx: Tx) -> None:
        found = load_records(tx, SyncOperation, self.business_id, [self.id]).get(self.id)
        if found is not None and found.operation == self.owner and found.timestamp is None:
            delete_record(tx, SyncOperation, self.business_id, self.id)

    def _insert(self, tx: Tx) -> None:
        record = SyncOperation(
            id=self.id,
            business_id=self.business_id,
            idempotency_key=self.key,
            operation=self.owner,
            input_hash=self.input_hash,
        )
        try:
            insert_record(tx, record, self.now)
        except RecordConflictError as error:
            raise TransientError(
                f"Another run took the idempotency key {self.key!r} just now; this one waits.",
                operation="idempotent",
            ) from error


def _is_open(tx: Tx, delivery_id: str | None) -> bool:
    if delivery_id is None or not delivery_id.isdigit():
        return False
    status = tx.scalar(sa.select(deliveries.c.status).where(deliveries.c.id == int(delivery_id)))
    return status in (OPEN, SCHEDULED)
