"""
Who may renew a connection's tokens: one owner at a time, for a bounded time, with a fence.

    take     -> Stored (somebody renewed them meanwhile), Held (somebody is at it), or Granted: the
             request is about to leave, and a crash from here on leaves a trace
    save     the new tokens, the end of the lease and of the trace in one commit; refused where a
             later lease has saved already
    release  the end of a lease that brought nothing

Every lease of a connection has a higher fence than the one before. An owner that was asleep for
longer than its lease may still save, unless a later owner did: then its tokens are the older ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from dovetail.core import json
from dovetail.core.clock import from_micros, to_micros
from dovetail.core.secrets import SecretBox
from dovetail.runtime.refusal import clear_refused
from dovetail.runtime.store.port import Tx, upsert
from dovetail.runtime.store.schema import credentials, token_leases

_PUT = upsert(token_leases, "owner", "fence", "saved_fence", "expires_at", "asked_at")
_ENDED: dict[str, object] = {"owner": None, "asked_at": None}


@dataclass(frozen=True, slots=True)
class Stored:
    """The store has other tokens than the caller knows."""

    values: dict[str, str]
    fence: int


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else renews them; look again at the latest *until* then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Granted:
    """
    The caller may renew them, starting from *values*.

    `cut_off_at`: an earlier owner sent its request then, and nobody knows what became of it.
    """

    fence: int
    values: dict[str, str]
    cut_off_at: datetime | None


class LeaseTable:
    """The leases of one connection, as works of a store."""

    def __init__(self, connection_id: str, owner: str, box: SecretBox) -> None:
        self._id = connection_id
        self._owner = owner
        self._box = box

    def take(
        self, tx: Tx, known_fence: int, now: datetime, length_s: float
    ) -> Stored | Held | Granted:
        """Return whose turn it is; nothing is waited for."""
        values = load_values(tx, self._box, self._id)
        row = tx.first(sa.select(token_leases).where(token_leases.c.connection_id == self._id))
        if row is not None and row.saved_fence > known_fence:
            return Stored(values, row.saved_fence)
        if row is not None and row.owner not in (None, self._owner):
            until = from_micros(row.expires_at)
            # No lease is as long as that: the clock was set back, and this one is over.
            if now < until <= now + timedelta(seconds=2 * length_s):
                return Held(until)
        fence = (row.fence if row is not None else 0) + 1
        cut_off = row.asked_at if row is not None else None
        put_lease(
            tx,
            self._id,
            owner=self._owner,
            fence=fence,
            saved_fence=row.saved_fence if row is not None else 0,
            expires_at=to_micros(now + timedelta(seconds=length_s)),
            asked_at=to_micros(now),
        )
        return Granted(fence, values, from_micros(cut_off) if cut_off else None)

    def save(self, tx: Tx, fence: int, values: Mapping[str, str], now: datetime) -> Stored | None:
        """Keep the new tokens and end the lease; return what is stored where that is newer."""
        row = tx.first(sa.select(token_leases).where(token_leases.c.connection_id == self._id))
        if row is None or row.saved_fence >= fence:
            found = load_values(tx, self._box, self._id)
            return Stored(found, row.saved_fence if row is not None else 0)
        sealed = self._box.seal(json.encode(dict(values)), owner=self._id)
        # updated_at stays: whoever has the connection open finds the tokens when it needs them.
        mine = credentials.c.connection_id == self._id
        tx.run(sa.update(credentials).where(mine).values(sealed=sealed))
        tx.run(
            sa.update(token_leases)
            .where(token_leases.c.connection_id == self._id)
            .values({"saved_fence": fence} | (_ENDED if row.fence == fence else {}))
        )
        clear_refused(tx, self._id, now)
        return None

    def newer(self, tx: Tx, known_fence: int) -> Stored | None:
        """Return what is stored where it is newer than what the caller knows."""
        fence = saved_fence(tx, self._id)
        return Stored(load_values(tx, self._box, self._id), fence) if fence > known_fence else None

    def release(self, tx: Tx, fence: int, *, is_settled: bool) -> None:
        """End a lease; the trace of its request goes where the answer is known."""
        mine = sa.and_(token_leases.c.connection_id == self._id, token_leases.c.fence == fence)
        tx.run(
            sa.update(token_leases).where(mine).values(_ENDED if is_settled else {"owner": None})
        )


def replace_tokens(tx: Tx, connection_id: str) -> int:
    """Note that a person gave new credentials: whoever is renewing the old ones comes too late."""
    row = tx.first(sa.select(token_leases).where(token_leases.c.connection_id == connection_id))
    fence = (row.fence if row is not None else 0) + 1
    put_lease(
        tx,
        connection_id,
        owner=None,
        fence=fence,
        saved_fence=fence,
        expires_at=0,
        asked_at=None,
    )
    return fence


def saved_fence(tx: Tx, connection_id: str) -> int:
    """Return the fence of the tokens that are stored."""
    found = tx.scalar(
        sa.select(token_leases.c.saved_fence).where(token_leases.c.connection_id == connection_id)
    )
    return int(found or 0)


def load_values(tx: Tx, box: SecretBox, connection_id: str) -> dict[str, str]:
    """Return a connection's stored credentials; none where it was removed."""
    found = tx.scalar(
        sa.select(credentials.c.sealed).where(credentials.c.connection_id == connection_id)
    )
    if found is None:
        return {}
    return json.convert(json.decode(box.open(found, owner=connection_id)), dict[str, str])


def put_lease(tx: Tx, connection_id: str, **columns: object) -> None:
    """Write the row of a connection, whether or not there is one."""
    tx.run(_PUT(tx), {"connection_id": connection_id, **columns})
