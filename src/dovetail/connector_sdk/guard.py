"""
The door of a connector: whatever a platform answered, what comes out is one of our errors.

A connector reads answers as its platform documents them. One that is built otherwise (a list where
an object belongs, an id that is missing) makes it fail with Python's own errors; here they become
what the runtime can decide on.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from dovetail.errors import (
    ConnectorError,
    DovetailError,
    MalformedResponseError,
    OutcomeUnknownError,
)

T = TypeVar("T")

OPERATIONS = (
    "identify",
    "known_fields",
    "prepare",
    "read_page",
    "read_many",
    "find_many",
    "write",
    "look_up",
    "read_owners",
    "subscribe",
)
"""The methods of the roles that talk to a platform."""

_UNREADABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)


def guarded(name: str, method: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
    """Return the method, failing in our errors only."""

    @functools.wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> T:
        try:
            return await method(self, *args, **kwargs)
        except DovetailError:
            raise
        except _UNREADABLE as error:
            raise _unreadable(self, name, error) from error

    return call


def _unreadable(connector: Any, name: str, error: BaseException) -> ConnectorError:
    what = name.replace("_", " ")
    facts = {"platform": connector.platform, "operation": what, "reason": type(error).__name__}
    message = (
        f"{connector.title} answered something other than it documents ({what}: "
        f"{type(error).__name__}). "
    )
    if name == "write":
        # The platform did something with what it was sent; only looking tells what.
        return OutcomeUnknownError(
            f"{message}It may have been applied: look before writing again.", **facts
        )
    return MalformedResponseError(
        f"{message}Check the address of the connection and what stands in between.", **facts
    )
