"""Throttles across restarts: the starts of a window are durable before a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from dovetail.core.clock import Clock, to_micros
from dovetail.runtime.gate import Gates
from dovetail.runtime.store.port import Store, Tx, upsert
from dovetail.runtime.store.schema import throttles

_PUT = upsert(throttles, "starts", "ends_at")


@dataclass(frozen=True, slots=True)
class _Saved:
    handler: str
    key: str
    starts: bytes
    ends_at: int


async def load_windows(store: Store, gates: Mapping[str, Gates], clock: Clock) -> None:
    """Take over the windows that are not over, by the name of the handler; forget the others."""
    wall, now = to_micros(clock.now()), clock.monotonic()
    for row in await store.write(lambda tx: _load(tx, wall)):
        if row.handler in gates:
            gates[row.handler].window(row.key, now).restore(row.starts, now, wall)


async def save_window(store: Store, handler: str, gates: Gates, scope: str, clock: Clock) -> None:
    """Make the starts of a window durable."""
    wall, now = to_micros(clock.now()), clock.monotonic()
    window = gates.window(scope, now)
    ends_at = wall + int(window.per_s * 1_000_000)
    await store.write_each(_save, _Saved(handler, scope, window.to_record(now, wall), ends_at))


def _load(tx: Tx, wall: int) -> list[sa.Row[tuple[str, str, bytes, int]]]:
    tx.run(sa.delete(throttles).where(throttles.c.ends_at <= wall))
    return list(tx.rows(sa.select(throttles)))


def _save(tx: Tx, windows: list[_Saved]) -> list[None]:
    latest = {(one.handler, one.key): one for one in windows}
    tx.run(
        _PUT(tx),
        [
            {
                "handler": one.handler,
                "key": one.key,
                "starts": one.starts,
                "ends_at": one.ends_at,
            }
            for one in latest.values()
        ],
    )
    return [None] * len(windows)
