"""
JSON for durable state and the wire: msgspec, deterministic, never pickle.

Decimals are written as strings and times as RFC 3339, so that nothing passes through a float.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_encoder = msgspec.json.Encoder(decimal_format="string")
_sorted_encoder = msgspec.json.Encoder(decimal_format="string", order="deterministic")
_decoder = msgspec.json.Decoder()


def encode(value: Any) -> bytes:
    """Return compact JSON in UTF-8."""
    return _encoder.encode(value)


def encode_text(value: Any) -> str:
    """Return compact JSON as a string."""
    return _encoder.encode(value).decode()


def canonical(value: Any) -> bytes:
    """Return JSON with sorted keys: equal values give equal bytes, for hashing."""
    return _sorted_encoder.encode(value)


def decode(data: bytes | str) -> Any:
    """
    Return plain Python values.

    Raises:
        ValueError: The text is not JSON (msgspec.DecodeError is a ValueError).
    """
    return _decoder.decode(data)


def plain(value: Any) -> Any:
    """Return the value as it will look after a round trip: only dict, list, str, int and so on."""
    return msgspec.to_builtins(value)


def convert(value: Any, to: type[T]) -> T:
    """
    Read plain values as a type (a Struct, datetime, Decimal, …), leniently for strings.

    Raises:
        ValueError: The value does not fit; the message names the path.
    """
    return msgspec.convert(value, to, strict=False)
