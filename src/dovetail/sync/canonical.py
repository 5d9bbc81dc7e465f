"""
The forms of a value: as told (literal), as compared (canonical), and "the same to a platform".

    platform's value -> literal: plain JSON of the field's type, "" is None, texts untouched
                     -> canonical: texts trimmed, e-mail in lower case
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import msgspec

from dovetail.core import json
from dovetail.model.entity import Entity
from dovetail.runtime.record_document import format_moment
from dovetail.runtime.record_field import record_fields

_SHORTEST_CUT = 20
_DIGITS = re.compile(r"\D+")
_SPACES = re.compile(r"\s+")


@lru_cache(maxsize=4096)
def _kind(entity: type[Entity], name: str) -> str:
    found = record_fields(entity).get(name)
    if found is None or "." in name:
        return "any"
    if found.kind == "number" and int in getattr(found.type, "__args__", (found.type,)):
        return "integer"
    return found.kind


def literal(entity: type[Entity], name: str, value: Any) -> Any:
    """
    Return a value as plain JSON of its field's type; texts keep their case and spaces.

    Raises:
        ValueError: The field cannot hold it.
    """
    if value is None or value == "":
        return None
    kind = _kind(entity, name)
    try:
        if kind == "text" and isinstance(value, str):
            return _keepable(value)
        return _READERS[kind](value) if kind in _READERS else _read_any(value)
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise ValueError(f"{entity.__name__}.{name} cannot hold {value!r}") from error


def canonical(entity: type[Entity], name: str, value: Any) -> Any:
    """Return the form in which values are compared, from a literal value."""
    del entity
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text:
        return None
    return text.lower() if name == "email" or name.endswith(("_email", "domain")) else text


def equivalent(entity: type[Entity], name: str, sent: Any, back: Any) -> bool:
    """
    Return whether a platform that was sent one value and shows another merely normalised it.

    Case, spaces, the punctuation of telephone numbers, a cut at the end of a long text, and the
    precision of numbers and moments are normalisation; anything else is a change.
    """
    one, other = canonical(entity, name, sent), canonical(entity, name, back)
    if one == other:
        return True
    if _kind(entity, name) == "datetime" and isinstance(one, str) and isinstance(other, str):
        return one[:19] == other[:19] or (one[:10] == other[:10] and other[11:19] == "00:00:00")
    one, other = _text(one), _text(other)
    if one is None or other is None:
        return False
    if _loose(one) == _loose(other):
        return True
    if "phone" in name and _DIGITS.sub("", one) == _DIGITS.sub("", other) != "":
        return True
    if len(other) >= _SHORTEST_CUT and _loose(one).startswith(_loose(other)):
        return True
    return _same_number(one, other)


def is_blank(value: Any) -> bool:
    """Return whether there is no value: None, an empty text or an empty list."""
    return value is None or value in ("", [])


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _loose(text: str) -> str:
    return _SPACES.sub(" ", text).strip().casefold()


def _same_number(one: str, other: str) -> bool:
    try:
        return abs(Decimal(one) - Decimal(other)) < Decimal("0.005")
    except InvalidOperation:
        return False


def _keepable(text: str) -> str:
    """Refuse what no database keeps: NUL, and halves of surrogate pairs (UnicodeEncodeError)."""
    if "\x00" in text:
        raise ValueError("holds the character NUL")
    if not text.isascii():
        text.encode()
    return text


def _read_any(value: Any) -> Any:
    plain = msgspec.to_builtins(value)
    if "\\u0000" in json.encode_text(plain):
        raise ValueError("holds the character NUL")
    return plain


def _read_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return _plain_number(Decimal(str(value)))
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return _keepable(";".join(value))  # several choices, as CRMs write them
    raise TypeError(type(value).__name__)


def _plain_number(number: Decimal) -> str:
    if not number.is_finite():
        raise ValueError("not a finite number")
    text = f"{number.normalize():f}"
    return "0" if text == "-0" else text


def _read_decimal(value: Any) -> str:
    if isinstance(value, bool):
        raise TypeError("bool")
    return _plain_number(Decimal(str(value).strip()))


def _read_integer(value: Any) -> int:
    number = Decimal(str(value).strip())
    if isinstance(value, bool) or number != number.to_integral_value() or abs(number) >= 2**63:
        raise ValueError("not a whole number of 64 bits")
    return int(number)


def _read_float(value: Any) -> float:
    number = float(str(value).strip())
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _read_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    return known[str(value).strip().lower()]


def _read_datetime(value: Any) -> str:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
        number = float(value)
        moment = datetime.fromtimestamp(number / 1000 if number > 1e11 else number, UTC)
    else:
        moment = datetime.fromisoformat(str(value).strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return format_moment(moment, "a moment")


def _read_date(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()[:10]
    text = str(value).strip()
    if text.isdigit():
        return _read_datetime(text)[:10]
    return date.fromisoformat(text[:10]).isoformat()


def _read_list(value: Any) -> list[Any]:
    items = value if isinstance(value, list | tuple | set | frozenset) else [value]
    plain = [_read_any(item) for item in items]
    if all(isinstance(item, str) for item in plain):
        return sorted({text.strip() for text in plain if text.strip()})
    return plain


_READERS: dict[str, Any] = {
    "text": _read_text,
    "decimal": _read_decimal,
    "integer": _read_integer,
    "number": _read_float,
    "boolean": _read_boolean,
    "datetime": _read_datetime,
    "date": _read_date,
    "list": _read_list,
}
