"""
Exact decimal numbers for SQLite, which has only floats: a text that sorts as the numbers do.

The key of a positive number is ``2``, its exponent, its digits; of a negative one ``0`` and the
same with every digit turned round, so that the larger comes first; zero is ``1``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from dovetail.runtime.record_document import read_decimal

_EXPONENT_OFFSET = 2 * 10**18
_TURNED = str.maketrans("0123456789", "9876543210")
_END = "~"  # after every digit: of two negative numbers, the one with fewer digits is larger


def decimal_key(value: object) -> str | None:
    """Return the sortable text of a stored value, or None when it is not a finite number."""
    number = read_decimal(value)
    if number is None:
        return None
    if not number:
        return "1"
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    key = f"{number.adjusted() + _EXPONENT_OFFSET:019d}{digits}"
    return f"0{key.translate(_TURNED)}{_END}" if number < 0 else f"2{key}"


class DecimalKey(sa.types.TypeDecorator[Decimal]):
    """The type of a column of keys: Decimals become keys when they are bound."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """Return the key of a Decimal."""
        del dialect
        return decimal_key(value)
