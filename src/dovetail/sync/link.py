"""Links: our record is that record over there, and what both sides last agreed on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from dovetail.core import json
from dovetail.runtime.store.port import Tx
from dovetail.sync.schema import sync_links

ACTIVE = "active"
"""Kept in agreement."""
GONE = "gone"
"""The platform's record was deleted; never made again by us."""
MERGED = "merged"
"""The platform folded it into another record (`merged_into`)."""
AMBIGUOUS = "ambiguous"
"""It claims to be a record that is linked already; waits for a person."""
QUARANTINED = "quarantined"
"""It would not come to rest; left alone until a person asks for it again."""
DETACHED = "detached"
"""Our record was deleted and theirs was kept, or a person parted them."""

_DOCUMENTS = ("base", "base_ours", "seen", "sent", "frozen", "refused", "awaited")


@dataclass(slots=True)
class Link:
    """
    One record of one connection.

    `base`, `seen`: our field -> their literal value, at the last agreement and last seen.
    `base_ours`: our value at the agreement where the platform normalised it. `sent`: values of a
    write whose answer is not recorded yet. `frozen`: field -> the conflict that waits.
    `refused`: field -> the value that the platform would not take. `awaited`: reference -> their
    id that it shows, of a record that is not linked yet. `writes`: when was written what.
    """

    connection_id: str
    entity: str
    external_id: str
    integration_id: str
    business_id: str
    internal_id: str | None = None
    state: str = ACTIVE
    base: dict[str, Any] = field(default_factory=dict)
    base_ours: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, Any] = field(default_factory=dict)
    frozen: dict[str, str] = field(default_factory=dict)
    refused: dict[str, Any] = field(default_factory=dict)
    awaited: dict[str, str] = field(default_factory=dict)
    writes: list[tuple[int, str]] = field(default_factory=list)
    seen_modified_at: int | None = None
    last_written_at: int | None = None
    merged_into: str | None = None
    mapping_id: str | None = None
    is_stored: bool = False
    is_changed: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """Connection and their id."""
        return (self.connection_id, self.external_id)

    def settle(self, name: str, their: Any, our: Any = None) -> None:
        """Record an agreement on a field; *our* only where the platform normalised it."""
        self.base[name] = their
        if our is None or our == their:
            self.base_ours.pop(name, None)
        else:
            self.base_ours[name] = our
        self.refused.pop(name, None)
        self.is_changed = True

    def diff(self, ours: dict[str, Any]) -> dict[str, Any]:
        """Return which of our canonical values the platform should be given."""
        wanted: dict[str, Any] = {}
        for name, value in ours.items():
            # What a reference shows there is not known yet, so nothing of ours goes over it.
            if name in self.awaited or name in self.frozen:
                continue
            if name in self.refused and self.refused[name] == value:
                continue
            expected = self.base_ours.get(name, self.base.get(name))
            if value != expected:
                wanted[name] = value
        return wanted


def links_by_external(
    tx: Tx, connection_id: str, entity: str, external_ids: Iterable[str]
) -> list[Link]:
    """Return the links of a connection's records."""
    params = {"of_connection": connection_id, "of_entity": entity}
    return _load(tx, _BY_EXTERNAL, params, external_ids)


def links_by_internal(
    tx: Tx, connections: Sequence[str], entity: str, internal_ids: Iterable[str]
) -> list[Link]:
    """Return the links of our records on some connections."""
    params = {"of_connections": list(connections), "of_entity": entity}
    return _load(tx, _BY_INTERNAL, params, internal_ids)


def linked_records(
    tx: Tx, connection_id: str, entity: str, internal_ids: Sequence[str]
) -> set[str]:
    """Return which of our records a connection has links to."""
    found: set[str] = set()
    params: dict[str, Any] = {"of_connections": [connection_id], "of_entity": entity}
    for start in range(0, len(internal_ids), 500):
        rows = tx.rows(_LINKED, params | {"of_ids": internal_ids[start : start + 500]})
        found.update(row.internal_id for row in rows)
    return found


def save_links(tx: Tx, links: Iterable[Link], now: int) -> None:
    """Write the links that have changed."""
    changed = [link for link in links if link.is_changed]
    tx.run(_INSERT, [_row(link, now) for link in changed if not link.is_stored])
    tx.run(
        _UPDATE,
        [
            {f"new_{name}": value for name, value in _row(link, now).items()}
            for link in changed
            if link.is_stored
        ],
    )
    for link in changed:
        link.is_stored, link.is_changed = True, False


def link_of(row: Any) -> Link:
    """Return the link of a row."""
    documents = {
        name: json.decode(value) for name in _DOCUMENTS if (value := getattr(row, name)) is not None
    }
    writes = [(at, digest) for at, digest in json.decode(row.writes)] if row.writes else []
    return Link(
        connection_id=row.connection_id,
        entity=row.entity,
        external_id=row.external_id,
        integration_id=row.integration_id,
        business_id=row.business_id,
        internal_id=row.internal_id,
        state=row.state,
        writes=writes,
        seen_modified_at=row.seen_modified_at,
        last_written_at=row.last_written_at,
        merged_into=row.merged_into,
        mapping_id=row.mapping_id,
        is_stored=True,
        is_changed=False,
        **documents,
    )


_BY_EXTERNAL = sa.select(sync_links).where(
    sync_links.c.connection_id == sa.bindparam("of_connection"),
    sync_links.c.entity == sa.bindparam("of_entity"),
    sync_links.c.external_id.in_(sa.bindparam("of_ids", expanding=True)),
)
_BY_INTERNAL = sa.select(sync_links).where(
    sync_links.c.internal_id.in_(sa.bindparam("of_ids", expanding=True)),
    sync_links.c.connection_id.in_(sa.bindparam("of_connections", expanding=True)),
    sync_links.c.entity == sa.bindparam("of_entity"),
)

_LINKED = _BY_INTERNAL.with_only_columns(sync_links.c.internal_id)


def _load(tx: Tx, query: sa.Select[Any], params: dict[str, Any], ids: Iterable[str]) -> list[Link]:
    wanted = list(dict.fromkeys(ids))
    found: list[Link] = []
    for start in range(0, len(wanted), 500):
        rows = tx.rows(query, params | {"of_ids": wanted[start : start + 500]})
        found += [link_of(row) for row in rows]
    return found


def _row(link: Link, now: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: json.encode(value) if (value := getattr(link, name)) else None
        for name in (*_DOCUMENTS, "writes")
    }
    return row | {
        "connection_id": link.connection_id,
        "entity": link.entity,
        "external_id": link.external_id,
        "integration_id": link.integration_id,
        "business_id": link.business_id,
        "internal_id": link.internal_id,
        "state": link.state,
        "seen_modified_at": link.seen_modified_at,
        "last_written_at": link.last_written_at,
        "merged_into": link.merged_into,
        "mapping_id": link.mapping_id,
        "updated_at": now,
    }


_INSERT = sa.insert(sync_links)
_KEY = ("connection_id", "entity", "external_id")
_UPDATE = (
    sa.update(sync_links)
    .where(*(sync_links.c[name] == sa.bindparam(f"new_{name}") for name in _KEY))
    .values(
        {
            column.name: sa.bindparam(f"new_{column.name}")
            for column in sync_links.c
            if column.name not in _KEY
        }
    )
)
