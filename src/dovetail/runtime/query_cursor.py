"""Cursors: the place in the order of a query where a result ended, as an opaque string."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from dovetail.core import json
from dovetail.errors import UsageError
from dovetail.runtime.record_document import entity_name

if TYPE_CHECKING:
    from dovetail.runtime.query import Order, Query
    from dovetail.runtime.query_operand import Scalar


def write_cursor(query: Query, place: tuple[Scalar | None, ...]) -> str:
    """Return the cursor of a place in the order of a query."""
    content = (entity_name(query.entity), query.spelling, place)
    return base64.urlsafe_b64encode(json.encode(content)).decode().rstrip("=")


def read_cursor(query: Query, cursor: str) -> tuple[Scalar | None, ...]:
    """
    Return the place that a cursor stands for.

    Raises:
        UsageError: It is not a cursor, or belongs to another query.
    """
    wrong = UsageError(
        "after is not a cursor of this query. Pass the .cursor of an earlier result with the same "
        "entity and order_by, unchanged."
    )
    if not isinstance(cursor, str):
        raise wrong
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        entity, spelling, place = msgspec.convert(
            json.decode(data), tuple[str, tuple[str, ...], list[Any]]
        )
    except (binascii.Error, ValueError) as error:
        raise wrong from error
    if (entity, spelling, len(place)) != (
        entity_name(query.entity),
        query.spelling,
        len(query.order),
    ):
        raise wrong
    try:
        return tuple(_value(order, value) for order, value in zip(query.order, place, strict=True))
    except (ArithmeticError, TypeError, ValueError) as error:
        raise wrong from error


def _value(order: Order, value: Any) -> Scalar | None:
    if value is None:
        return None
    if order.kind == "decimal":
        return Decimal(value)
    kinds: dict[str, Any] = {"text": str, "boolean": bool, "number": int | float}
    converted: Scalar = msgspec.convert(value, kinds[order.kind])
    return converted
