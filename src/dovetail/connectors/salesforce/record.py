"""Rows of Salesforce as records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from dovetail.connector_sdk.record import RemoteRecord
from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce.sobject import object_of
from dovetail.connectors.salesforce.value import MODIFIED, Row, moment

_OWNER = "OwnerId"
_USER = "005"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record_of(resource: Resource, row: Row, fields: Iterable[str]) -> RemoteRecord:
    """
    Return a row as a record; its amounts of money as decimals, whatever JSON made of them.

    Who owns it is left out while it waits in a queue, which is no user.
    """
    money = object_of(resource).money
    told = (name for name in fields if name in row and not _is_queue(name, row[name]))
    return RemoteRecord(
        id=row["Id"],
        fields={name: _told(row[name], name in money) for name in told},
        modified_at=moment(row[MODIFIED]),
        created_at=moment(row["CreatedDate"]) if row.get("CreatedDate") else None,
        deleted=bool(row.get("IsDeleted")),
        merged_into=row.get("MasterRecordId") or None,
    )


def _is_queue(name: str, value: Any) -> bool:
    return name == _OWNER and bool(value) and not str(value).startswith(_USER)


def _told(value: Any, is_money: bool) -> Any:
    if is_money and value is not None:
        return Decimal(str(value))
    return float(value) if isinstance(value, Decimal) else value


def untold_record(id: str) -> RemoteRecord:
    """Return a record of which nothing is known except that it was written."""
    return RemoteRecord(id=id, modified_at=_EPOCH)
