"""Errors in the journal: recorded when a run has undone what led to them, raised again later."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from dovetail.core import json
from dovetail.errors import DovetailError, StepFailedError, describe


def record_error(error: BaseException) -> bytes:
    """Return what is recorded of an error."""
    kind = type(error)
    args: list[Any] | None = list(error.args)
    try:
        json.encode(args)
    except (TypeError, ValueError):
        args = None
    return json.encode(
        {"class": f"{kind.__module__}:{kind.__qualname__}", "args": args, "error": describe(error)}
    )


def rebuild_error(recorded: bytes) -> BaseException:
    """Return an error of the class that was recorded, or a StepFailedError that describes it."""
    found: dict[str, Any] = json.decode(recorded)
    described: dict[str, Any] = found["error"]
    kind = _class(found["class"])
    try:
        if kind is not None and issubclass(kind, DovetailError):
            return kind(described["message"], **described.get("facts", {}))
        if kind is not None and found["args"] is not None:
            return kind(*found["args"])
    except TypeError:
        pass  # its constructor wants something else; the description has to do
    return StepFailedError(
        f"The step failed in an earlier pass of this run: {described['message']}",
        error=described,
    )


def _class(reference: str) -> type[Exception] | None:
    module, _, name = reference.partition(":")
    try:
        found: Any = import_module(module)
    except ImportError:
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else None
