"""What a step is given and what it gives back: hashed, recorded as JSON, read as it was."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import typing
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from dovetail.core import json
from dovetail.errors import UsageError
from dovetail.model.entity import Entity

# Arguments that are not data (a client object) count by their class: they cannot be compared
# across processes, and a step must not fail for being handed one.
_hash_encoder = msgspec.json.Encoder(
    enc_hook=lambda value: type(value).__qualname__, order="deterministic", decimal_format="string"
)


def hash_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return a hash of a call's arguments; equal arguments, equal hash."""
    data = _hash_encoder.encode((args, kwargs))
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def mark_input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """
    Return a hash per argument, so that a mismatch can name the argument.

    A record counts by its class and id: it is the same record, however it has changed since.
    """
    marks = [_mark(value) for value in args]
    if kwargs:
        marks.extend(f"{name}={_mark(kwargs[name])}" for name in sorted(kwargs))
    return " ".join(marks)


def other_arguments(recorded: str, given: str, call: Callable[..., Any]) -> list[str]:
    """Return in words in which arguments two marks of `mark_input` differ."""
    before, now = _by_name(recorded, call), _by_name(given, call)
    told = [
        f"{name} has another value" for name in now if name in before and before[name] != now[name]
    ]
    told += [f"{name} is new" for name in now if name not in before]
    told += [f"{name} is gone" for name in before if name not in now]
    return told


def encode_result(name: str, value: Any) -> bytes:
    """
    Return what is recorded of a result.

    Raises:
        UsageError: It is not data.
    """
    try:
        return json.encode(value)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"Step {name!r} returned {type(value).__name__}, which cannot be recorded as JSON: "
            f"{error}. Return plain data, a Struct or an entity.",
            step=name,
        ) from error


def encode_returned(handler: str, value: Any, most_bytes: int) -> bytes:
    """
    Return what the parent of a child run is given of what its handler returned.

    Raises:
        UsageError: It is not data, or too much.
    """
    try:
        result = json.encode(value)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{handler} is run by step.run() and returned {type(value).__name__}, which cannot be "
            f"handed over as JSON: {error}. Return plain data, a Struct or an entity.",
            handler=handler,
        ) from error
    if len(result) > most_bytes:
        raise UsageError(
            f"{handler} is run by step.run() and returned {len(result):,} bytes; at most "
            f"{most_bytes:,} can be handed over. Store the data elsewhere and return where it is.",
            handler=handler,
        )
    return result


def read_back(result: bytes, call: Callable[..., Any]) -> Any:
    """Return a recorded result as what the function's return annotation says."""
    # The first pass and a resumed one see the same thing: what survived the round trip.
    return read_value(json.decode(result), call)


def read_value(value: Any, call: Callable[..., Any]) -> Any:
    """Return what was read from JSON as what the function's return annotation says."""
    if value is None:
        return None
    return _as(value, _hints(call).get("return"))


def read_for(undo: Callable[..., Any], result: bytes, call: Callable[..., Any] | None) -> Any:
    """Return a recorded result as an undo function wants it: as its first parameter says."""
    value = json.decode(result)
    hints = _hints(undo)
    names = [name for name in hints if name != "return"]
    wanted = hints[names[0]] if names else None
    if wanted in (None, Any) and call is not None:
        return read_value(value, call)
    return value if value is None else _as(value, wanted)


async def call_function(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a coroutine function here and any other in a thread."""
    code = getattr(call, "__code__", None)  # of most functions, and soon asked
    if (code is not None and code.co_flags & _COROUTINE) or inspect.iscoroutinefunction(call):
        return await call(*args, **kwargs)
    result = await asyncio.to_thread(call, *args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def _mark(value: Any) -> str:
    if isinstance(value, Entity) and value.id:
        value = (type(value).__qualname__, value.id)
    return hashlib.blake2b(_hash_encoder.encode(value), digest_size=6).hexdigest()


def _by_name(marks: str, call: Callable[..., Any]) -> dict[str, str]:
    try:
        names = list(inspect.signature(call).parameters)
    except (TypeError, ValueError):
        names = []
    found: dict[str, str] = {}
    for index, mark in enumerate(marks.split()):
        name, _, value = mark.rpartition("=")
        if not name:
            name = f"argument {index + 1}"
            if index < len(names):
                name += f" ({names[index]})"
        found[name] = value
    return found


_COROUTINE = inspect.CO_COROUTINE

_known_hints: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def _hints(call: Callable[..., Any]) -> dict[str, Any]:
    function = getattr(call, "__func__", call)
    try:
        found = _known_hints.get(function)
        if found is None:
            found = _known_hints[function] = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}
    return found


def _as(value: Any, annotated: Any) -> Any:
    if annotated is None or annotated is Any or type(value) is annotated:
        return value
    try:
        return json.convert(value, annotated)
    except (ValueError, TypeError):
        return value
