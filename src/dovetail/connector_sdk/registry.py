"""The connectors that exist: found in the folder `dovetail.connectors`, and in other packages."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from dovetail.connector_sdk.base import Connector
from dovetail.errors import InternalError, UnknownPlatformError

_PACKAGE = "dovetail.connectors"


def platforms() -> tuple[str, ...]:
    """Return the names of all platforms that have a connector, in the order of the alphabet."""
    return tuple(sorted({*_built_in(), *_added()}))


@cache
def connector_class(name: str) -> type[Connector]:
    """
    Return the connector of a platform; its module is imported on first use.

    Raises:
        UnknownPlatformError: There is none of that name; the message names the closest one.
    """
    if name in _built_in():
        return _only_connector(name)
    if name in _added():
        found = _added()[name].load()
        if not (inspect.isclass(found) and issubclass(found, Connector)):
            raise InternalError(f"The entry point {_added()[name].value} is not a Connector class.")
        return found
    known = platforms()
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
    raise UnknownPlatformError(f"There is no connector for {name!r}. {hint}", platform=name)


@cache
def _built_in() -> frozenset[str]:
    package = importlib.import_module(_PACKAGE)
    return frozenset(module.name for module in pkgutil.iter_modules(package.__path__))


@cache
def _added() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=_PACKAGE)}


def _only_connector(name: str) -> type[Connector]:
    module = importlib.import_module(f"{_PACKAGE}.{name}")
    found = [
        value
        for _, value in inspect.getmembers(module, inspect.isclass)
        if issubclass(value, Connector) and getattr(value, "platform", None) == name
    ]
    if len(found) != 1:
        raise InternalError(
            f"{module.__name__} must hold one Connector whose platform is {name!r}; "
            f"it holds {len(found)}."
        )
    return found[0]
