"""Moves stored credentials under another master key, one at a time, while everything runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa

from dovetail.core.key_file import KeyFile
from dovetail.core.secrets import SecretBox, sealed_under
from dovetail.runtime.store.port import Store, Tx
from dovetail.runtime.store.schema import credentials


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: connections moved now, moved before, and all that there are."""

    moved: int
    total: int


async def rewrap_all(store: Store, box: SecretBox) -> Rotated:
    """
    Put every connection's data key under the key that seals now.

    Each connection is one transaction, so that a rotation that was cut off goes on where it was.

    Raises:
        ConfigError: A connection was sealed with a key that is not there; the others are moved
            first when they come first.
    """
    owners = await store.read(lambda tx: tx.rows(sa.select(credentials.c.connection_id)))
    moved = 0
    for row in owners:
        moved += await store.write(partial(_rewrap, box=box, owner=row.connection_id))
    return Rotated(moved=moved, total=len(owners))


async def is_finished(store: Store, box: SecretBox) -> bool:
    """Tell whether everything is under the key that seals now, so that a next key may be made."""
    found = await store.read(lambda tx: tx.rows(sa.select(credentials.c.sealed)))
    return not any(box.needs_rewrap(row.sealed) for row in found)


async def drop_unused(store: Store, file: KeyFile) -> int:
    """Take keys that seal nothing any more out of the file; return how many."""

    def work(tx: Tx) -> int:
        # In a writing transaction: values are sealed in one as well, under the keys of its time.
        found = {sealed_under(row.sealed) for row in tx.rows(sa.select(credentials.c.sealed))}
        known = file.keys()
        # A value of version 1 names no key: while there is one, any of them may be needed.
        kept = [
            key
            for position, key in enumerate(known)
            if position == 0 or key.id.hex() in found or None in found
        ]
        if len(kept) < len(known):
            file.replace(kept)
        return len(known) - len(kept)

    return await store.write(work)


def _rewrap(tx: Tx, box: SecretBox, owner: str) -> int:
    mine = credentials.c.connection_id == owner
    sealed = tx.scalar(sa.select(credentials.c.sealed).where(mine))
    if sealed is None or not box.needs_rewrap(sealed):
        return 0
    # The contents are the same, so updated_at stays: nobody has to open the connection anew.
    tx.run(sa.update(credentials).where(mine).values(sealed=box.rewrap(sealed, owner)))
    return 1
