"""What crosses between a connector and the engines: records, pages, writes and their outcomes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from dovetail.errors import ConnectorError

Cursor = dict[str, Any]
"""A connector's own place in a list, as plain JSON. Only the connector that made it reads it."""


class RemoteRecord(msgspec.Struct, frozen=True, kw_only=True):
    """
    A record as its platform holds it.

    `fields` has the platform's own names and its own values (None: defined without a value; a
    missing name: not told). `deleted` marks a tombstone; `merged_into` is the id that now stands
    for this record. `id` may differ from the id that was asked for when the platform merged it.
    """

    id: str
    fields: dict[str, Any] = {}
    modified_at: datetime
    created_at: datetime | None = None
    deleted: bool = False
    merged_into: str | None = None


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the platform's account, to whom records belong there."""

    id: str
    name: str = ""
    email: str | None = None
    active: bool = True


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """
    Some changed records, oldest change first where the platform can order.

    Commit `cursor` together with what the records caused, then read on from it. ``more=False``:
    nothing else is visible now; the same cursor finds what comes later (and, for as long as the
    platform's consistency lag demands, records that were already seen). `wait_s`: the platform is
    still preparing what comes next; before so many seconds there is nothing to ask for. `trouble`
    is what went wrong on the way although reading goes on, for people to know.
    """

    records: list[RemoteRecord]
    cursor: Cursor
    more: bool
    total: int | None = None
    wait_s: float = 0.0
    trouble: ConnectorError | None = None


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """
    One wanted change. `key` is the caller's stable name for it (one per record and batch).

    ``create`` has no `id`; `fields` are the platform's names and values. ``update`` touches only
    the fields given. ``delete`` has no fields. `replaces` is, for fields that are references, the
    id that both sides last agreed on: what an update lets go of where there may be several.
    """

    action: Literal["create", "update", "delete"]
    key: str
    id: str | None = None
    fields: dict[str, Any] = {}
    replaces: dict[str, str] = {}


class WriteResult(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of one write: exactly one of `record` and `error` is set (both None: deleted).

    `record` is read back from the platform after the write, so it shows the platform's own
    normalisation. `created` is False when a create found its record already there.
    """

    key: str
    id: str | None = None
    created: bool = False
    record: RemoteRecord | None = None
    error: ConnectorError | None = None
