"""
Integration automation: declare which systems must agree; the runtime keeps it true.

::

    from dovetail import Service, db, every, on, send, step
    from dovetail.entities import Contact

Importing this package loads nothing else. Each public name is loaded from its home when it is
first used, so that a command or a declaration pays only for the parts it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.app.app import App
    from dovetail.model.entity import Entity
    from dovetail.model.event import Event
    from dovetail.runtime.retry import Retry
    from dovetail.service.context import db, idempotent, now, platform, send, step
    from dovetail.service.declaration import Service, ServiceType
    from dovetail.service.handlers import every, on

__all__ = [
    "App",
    "Entity",
    "Event",
    "Retry",
    "Service",
    "ServiceType",
    "db",
    "every",
    "idempotent",
    "now",
    "on",
    "platform",
    "send",
    "step",
]

_HOMES = {
    "App": "dovetail.app.app",
    "Entity": "dovetail.model.entity",
    "Event": "dovetail.model.event",
    "Retry": "dovetail.runtime.retry",
    "Service": "dovetail.service.declaration",
    "ServiceType": "dovetail.service.declaration",
    "db": "dovetail.service.context",
    "every": "dovetail.service.handlers",
    "idempotent": "dovetail.service.context",
    "now": "dovetail.service.context",
    "on": "dovetail.service.handlers",
    "platform": "dovetail.service.context",
    "send": "dovetail.service.context",
    "step": "dovetail.service.context",
}

# Type checkers read the imports above; seeing this function, they would accept any name at all.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name from its home, once."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Show the public names before they are loaded."""
        return sorted({*globals(), *__all__})
