"""The connectors that exist: found in the folder `dovetail.connectors`, and in other packages."""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from functools import cache

from dovetail.connector_sdk.base import Connector
from dovetail.core.extension import CONNECTORS, Extension, extensions, only_extension
from dovetail.errors import BrokenExtensionError, InternalError, UnknownPlatformError

_PACKAGE = "dovetail.connectors"


def platforms() -> tuple[str, ...]:
    """Return the names of all platforms that have a connector, in the order of the alphabet."""
    return tuple(sorted({*built_in_platforms(), *extensions(CONNECTORS)}))


@cache
def built_in_platforms() -> frozenset[str]:
    """Return the names of the platforms whose connector comes with Dovetail."""
    package = importlib.import_module(_PACKAGE)
    return frozenset(module.name for module in pkgutil.iter_modules(package.__path__))


def connector_class(name: str) -> type[Connector]:
    """
    Return the connector of a platform; its module is imported on first use.

    Another package cannot take the place of a connector that comes with Dovetail: its credentials
    would go there. See `refused_connectors`.

    Raises:
        UnknownPlatformError: There is none of that name; the message names the closest one.
        BrokenExtensionError: Another package adds it, and it cannot be used.
    """
    if name in built_in_platforms():
        return _only_connector(name)
    added = only_extension(CONNECTORS, name)
    if added is not None:
        return _loaded(added)
    known = platforms()
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
    raise UnknownPlatformError(
        f"There is no connector for {name!r}. {hint} One of your own must be installed "
        "(`pip install -e FOLDER`); `dovetail new connector NAME` writes one.",
        platform=name,
    )


def refused_connectors() -> list[BrokenExtensionError]:
    """Return why each connector of another package is not used that has a built-in one's name."""
    return [
        one.broken("has the name of a connector that comes with Dovetail, which is used instead")
        for name, found in sorted(extensions(CONNECTORS).items())
        if name in built_in_platforms()
        for one in found
    ]


def broken_connectors() -> list[BrokenExtensionError]:
    """Return why each other connector of a package cannot be used; all are imported."""
    broken = []
    for name in platforms():
        try:
            connector_class(name)
        except BrokenExtensionError as error:
            broken.append(error)
    return broken


@cache
def _loaded(added: Extension) -> type[Connector]:
    return added.load(Connector)


@cache
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
