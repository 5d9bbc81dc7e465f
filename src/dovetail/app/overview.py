"""A running Dovetail at a glance, as its database shows it to any process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from dovetail.app.allowance import AccountAllowance, account_allowances
from dovetail.core import json
from dovetail.core.log import redact_text
from dovetail.runtime.backlog import Backlog, read_backlogs
from dovetail.runtime.store.port import Tx
from dovetail.runtime.store.schema import DONE, deliveries, events

_RECENT = 5_000
_MINUTE = 60_000_000
_ERRORS = 5


class HandlerRow(msgspec.Struct, kw_only=True):
    """One handler: its backlog, what it did in the last minute, and what went wrong last."""

    name: str
    open: int
    running: int | None
    retrying: int
    scheduled: int
    dead: int
    done_per_minute: float
    lag_s: float


class LastError(msgspec.Struct, kw_only=True):
    """A failure that is not over: the delivery is tried again, or waits for a decision."""

    at: int
    handler: str
    delivery: int
    status: str
    code: str
    message: str


class Overview(msgspec.Struct, kw_only=True):
    """One frame of `dovetail top`. Moments are whole microseconds since 1970 UTC."""

    at: int
    events_per_minute: float
    handlers: list[HandlerRow]
    budgets: list[AccountAllowance]
    errors: list[LastError]
    file_bytes: int


def read_overview(tx: Tx, now: int, running: dict[str, int] | None) -> Overview:
    """
    Return how things are.

    Args:
        tx: A transaction.
        now: The moment, in microseconds.
        running: Handler -> runs that go on, where the process tells; None where nobody does.
    """
    backlogs = {one.handler: one for one in read_backlogs(tx)}
    done = _done_per_minute(tx, now)
    names = sorted({*backlogs, *done, *(running or {})})
    return Overview(
        at=now,
        events_per_minute=_events_per_minute(tx, now),
        handlers=[
            _row(name, backlogs.get(name, Backlog(handler=name)), done, now, running)
            for name in names
        ],
        budgets=account_allowances(tx, now / 1_000_000),
        errors=_last_errors(tx),
        file_bytes=int(tx.scalar(sa.text("PRAGMA page_count")))
        * int(tx.scalar(sa.text("PRAGMA page_size"))),
    )


def _row(
    name: str, backlog: Backlog, done: dict[str, float], now: int, running: dict[str, int] | None
) -> HandlerRow:
    return HandlerRow(
        name=name,
        open=backlog.open,
        running=None if running is None else running.get(name, 0),
        retrying=backlog.retrying,
        scheduled=backlog.scheduled,
        dead=backlog.dead,
        done_per_minute=done.get(name, 0.0),
        lag_s=backlog.lag_s(now),
    )


def _done_per_minute(tx: Tx, now: int) -> dict[str, float]:
    """Count what ended in the last minute among the newest deliveries, however many there are."""
    newest = tx.rows(
        sa.select(deliveries.c.handler, deliveries.c.status, deliveries.c.finished_at)
        .order_by(deliveries.c.id.desc())
        .limit(_RECENT)
    )
    ended = [row for row in newest if row.status == DONE and row.finished_at]
    recent = [row for row in ended if row.finished_at > now - _MINUTE]
    factor = _factor([row.finished_at for row in recent], now, is_cut=len(newest) == _RECENT)
    # Handlers that did nothing for a minute are shown for as long as they are among the newest.
    counted = Counter({row.handler: 0 for row in ended})
    counted.update(row.handler for row in recent)
    return {name: number * factor for name, number in counted.items()}


def _events_per_minute(tx: Tx, now: int) -> float:
    newest = tx.rows(sa.select(events.c.occurred_at).order_by(events.c.seq.desc()).limit(_RECENT))
    recent = [row.occurred_at for row in newest if row.occurred_at > now - _MINUTE]
    return len(recent) * _factor(recent, now, is_cut=len(newest) == _RECENT)


def _factor(moments: Sequence[int], now: int, *, is_cut: bool) -> float:
    """Return what scales a count to a minute, where the newest do not reach back that far."""
    if not moments or not is_cut or len(moments) < _RECENT:
        return 1.0
    return _MINUTE / max(now - min(moments), 1)


def _last_errors(tx: Tx) -> list[LastError]:
    columns = (
        deliveries.c.id,
        deliveries.c.handler,
        deliveries.c.due_at,
        deliveries.c.finished_at,
        deliveries.c.error,
        deliveries.c.history,
    )
    found: list[LastError] = []
    for name, where in (("retrying", "status = 0 AND attempt > 0"), ("dead", "status = 3")):
        rows = tx.rows(
            sa.select(*columns)
            .where(sa.text(where))
            .order_by(deliveries.c.id.desc())
            .limit(_ERRORS)
        )
        found += [_last_error(row, name) for row in rows]
    return sorted(found, key=lambda one: -one.at)[:_ERRORS]


def _last_error(row: sa.Row[Any], status: str) -> LastError:
    error = json.decode(row.error) if row.error else {}
    failures = json.decode(row.history) if row.history else []
    return LastError(
        at=int(row.finished_at or (failures[-1]["at"] if failures else row.due_at)),
        handler=row.handler,
        delivery=row.id,
        status=status,
        code=str(error.get("code", "")),
        message=redact_text(str(error.get("message", ""))),
    )
