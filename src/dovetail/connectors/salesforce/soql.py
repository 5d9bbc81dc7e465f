"""Writing SOQL: literals, lists of fields, and conditions cut to what one address can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce.sobject import object_of
from dovetail.errors import UnsupportedCapabilityError

# An address may have 16,384 bytes; the rest is for the host and the path.
_ADDRESS_BYTES = 15_000
# A list of fields longer than this leaves no room for conditions.
_SELECT_BYTES = 8_000
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def query(fields: Iterable[str], table: str, where: str = "", *, order: str = "") -> str:
    """Return a query; values get into *where* as literals of `text` and `time` alone."""
    condition = f" WHERE {where}" if where else ""
    named = ",".join(column(name) for name in fields)
    ordered = f" ORDER BY {order}" if order else ""
    return f"SELECT {named} FROM {table}{condition}{ordered}"  # noqa: S608 - see column


def column(name: str) -> str:
    """
    Return the name of a field, fit to stand in a query.

    Raises:
        UnsupportedCapabilityError: It cannot be a name.
    """
    if not (name.isascii() and name.replace(".", "").isidentifier()):
        raise UnsupportedCapabilityError(
            f"{name!r} cannot be a field of Salesforce; use its API name, such as Region__c.",
            platform="salesforce",
            field=name,
        )
    return name


def text(value: str) -> str:
    """Return a text literal."""
    return f"'{value.translate(_ESCAPES)}'"


def time(moment: datetime) -> str:
    """Return a DateTime literal; those of UTC and one length sort like the times they stand for."""
    told = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{told.isoformat(timespec='milliseconds')}Z"


def select(resource: Resource, fields: Iterable[str]) -> list[str]:
    """Return the fields and those that every record needs, each once: twice is an error."""
    return list(dict.fromkeys([*object_of(resource).system, *fields]))


def is_wide(resource: Resource, fields: Iterable[str]) -> bool:
    """Return whether the fields are too many for an address."""
    return _size(",".join(select(resource, fields))) > _SELECT_BYTES


def packed(parts: Iterable[str], separator: str, around: str) -> Iterator[str]:
    """
    Join parts into as few lists as fit in an address together with the SOQL *around* them.

    A part that fits in none is left out: no field that can be asked for holds so long a value.
    """
    room = _ADDRESS_BYTES - _size(around)
    held: list[str] = []
    used = 0
    for part in parts:
        size = _size(part + separator)
        if size > room:
            continue
        if used + size > room:
            yield separator.join(held)
            held, used = [], 0
        held.append(part)
        used += size
    if held:
        yield separator.join(held)


def _size(soql: str) -> int:
    return len(quote(soql, safe=""))
