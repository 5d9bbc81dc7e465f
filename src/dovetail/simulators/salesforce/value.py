"""
From what a client sends to what the platform keeps.

Two kinds of refusal, as on the platform: a value of the wrong JSON kind breaks the whole call
(JSON_PARSER_ERROR), while a value that breaks a rule of its field is an error of that row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.field import NUMBER_TYPES, Field
from dovetail.simulators.salesforce.identifier import to_id18
from dovetail.simulators.salesforce.refusal import SalesforceError, json_error

_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9]{2,63}"
)

_SHOWN_LENGTH = 100


def clean(field: Field, raw: Any) -> Any:
    """
    Return what the platform stores for *raw*: trimmed, with "" as null, times as its own text.

    Raises:
        SalesforceError: The value breaks a rule of the field.
    """
    if raw is None:
        return _clear(field)
    if field.is_text:
        return _clean_text(field, raw)
    if field.type in NUMBER_TYPES:
        return _clean_number(field, raw)
    return _CLEANERS[field.type](field, raw)


def _clear(field: Field) -> Any:
    if field.type == "boolean":
        raise SalesforceError(
            400,
            "INVALID_TYPE_ON_FIELD_IN_RECORD",
            f"{field.display_label}: value not of required type: null",
            (field.name,),
        )
    return None


def _clean_text(field: Field, raw: Any) -> str | None:
    if not isinstance(raw, str):
        raise _wrong_kind("string", raw)
    text = raw.strip()
    if not text:
        return None
    if field.type == "email" and not _EMAIL.fullmatch(text):
        raise SalesforceError(
            400,
            "INVALID_EMAIL_ADDRESS",
            f"{field.display_label}: invalid email address: {text}",
            (field.name,),
        )
    if field.length and len(text) > field.length:
        raise SalesforceError(
            400,
            "STRING_TOO_LONG",
            f"{field.display_label}: data value too large: {text[:_SHOWN_LENGTH]}"
            f" (max length={field.length})",
            (field.name,),
        )
    if field.restricted and text not in field.picklist:
        raise SalesforceError(
            400,
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            f"{field.display_label}: bad value for restricted picklist field: {text}",
            (field.name,),
        )
    return text


def _clean_boolean(_field: Field, raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in {"true", "false"}:
        return raw.lower() == "true"
    raise _wrong_kind("boolean", raw)


def _clean_number(field: Field, raw: Any) -> int | float:
    wanted = "int" if field.type == "int" else "double"
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise _wrong_kind(wanted, raw)
    try:
        number = float(raw)
    except (ValueError, OverflowError) as exc:
        raise _wrong_kind(wanted, raw) from exc
    if not math.isfinite(number) or (wanted == "int" and not number.is_integer()):
        raise _wrong_kind(wanted, raw)
    return int(number) if wanted == "int" else number


def _clean_date(_field: Field, raw: Any) -> str | None:
    if raw == "":
        return None
    day = moment.parse_date(raw[:10]) if isinstance(raw, str) else None
    if day is None or (len(raw) > 10 and moment.parse_datetime(raw) is None):
        raise _wrong_kind("date", raw)
    return day


def _clean_datetime(_field: Field, raw: Any) -> str | None:
    if raw == "":
        return None
    instant = moment.parse_datetime(raw) if isinstance(raw, str) else None
    if instant is None:
        raise _wrong_kind("datetime", raw)
    return moment.to_text(instant)


def _clean_reference(field: Field, raw: Any) -> str | None:
    if not isinstance(raw, str):
        raise _wrong_kind("string", raw)
    if not raw.strip():
        return None
    id18 = to_id18(raw.strip())
    if id18 is None:
        raise SalesforceError(
            400,
            "MALFORMED_ID",
            f"{field.display_label}: id value of incorrect type: {raw}",
            (field.name,),
        )
    return id18


def _wrong_kind(wanted: str, raw: Any) -> SalesforceError:
    token, shown = _json_token(raw)
    return json_error(
        f"Cannot deserialize instance of {wanted} from {token} value {shown} or request may be"
        " missing a required field at [line:1, column:1]"
    )


def _json_token(raw: Any) -> tuple[str, str]:
    if isinstance(raw, bool):
        return f"VALUE_{str(raw).upper()}", str(raw).lower()
    if isinstance(raw, dict):
        return "START_OBJECT", "{"
    if isinstance(raw, list):
        return "START_ARRAY", "["
    if isinstance(raw, str):
        return "VALUE_STRING", raw
    return ("VALUE_NUMBER_INT" if isinstance(raw, int) else "VALUE_NUMBER_FLOAT"), str(raw)


_CLEANERS: dict[str, Callable[[Field, Any], Any]] = {
    "boolean": _clean_boolean,
    "date": _clean_date,
    "datetime": _clean_datetime,
    "reference": _clean_reference,
    "id": _clean_reference,
}
