"""Rules of the declaration itself, and of the connector's own code."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from dovetail.connector_sdk.base import Account, Connector, Records, Webhooks
from dovetail.connector_sdk.spec import Capability
from dovetail.runtime.record_field import record_fields
from dovetail.testing.contract.rule import Rules, Setting

_WRITES = {
    Capability.CREATE: "create",
    Capability.UPDATE: "update",
    Capability.DELETE: "delete",
}
# Time, waiting and chance come through ports; what is said goes to the caller.
_FORBIDDEN = frozenset(
    {
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "time.time",
        "time.monotonic",
        "time.sleep",
        "asyncio.sleep",
        "print",
    }
)
_FORBIDDEN_MODULES = frozenset({"random", "logging", "structlog", "requests", "httpx", "aiohttp"})


class DeclaringRules(Rules):
    """What is declared makes sense before anything runs."""

    def test_what_is_declared_holds_together(self, indoors: Setting) -> None:
        resource, connector = indoors.resource, indoors.bench.connector
        names = [one.name for one in connector.resources]
        assert len(names) == len(set(names)), "two resources have the same name"
        assert resource.fields, "a resource without fields holds nothing"
        unknown = set(resource.fields.values()) - set(record_fields(resource.entity))
        assert not unknown, f"{resource.entity.__name__} has no field {sorted(unknown)}"
        if resource.key_field is not None:
            assert resource.key_field in resource.fields, "the key field is declared as a field"
        assert resource.read_batch > 0
        assert resource.write_batch > 0
        assert resource.consistency_lag_s >= 0
        for capability, action in _WRITES.items():
            if capability in resource.capabilities:
                assert action in resource.guarantees, (
                    f"no guarantee of what keeps a {action} single"
                )

    def test_roles_are_there_for_what_is_declared(self, indoors: Setting) -> None:
        connector, declared = indoors.bench.connector, indoors.resource.capabilities
        assert issubclass(connector, Account), "`identify` tells whose credentials these are"
        if declared - {Capability.WEBHOOKS}:
            assert issubclass(connector, Records), "its capabilities need the role of Records"
        if Capability.WEBHOOKS in declared:
            assert issubclass(connector, Webhooks), "webhooks need the role of Webhooks"

    def test_time_and_chance_come_through_ports(self, indoors: Setting) -> None:
        found = [
            f"{path.name}:{line}: {what}"
            for path in _sources(indoors.bench.connector)
            for line, what in _outside(ast.parse(path.read_text(encoding="utf-8")))
        ]
        assert not found, f"use `self.api.clock`, and raise what is to be said: {found}"


def _sources(connector: type[Connector]) -> list[Path]:
    """Return the files of the connector: its module, and the others of its folder if it has one."""
    module = sys.modules[connector.__module__]
    package = connector.__module__.rpartition(".")[0]
    parent = sys.modules.get(package)
    own = Path(inspect.getsourcefile(connector) or "")
    is_folder = parent is not None and getattr(parent, connector.__name__, None) is connector
    if not is_folder or module is parent:
        return [own]
    return sorted(own.parent.glob("*.py"))


def _outside(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            named = ".".join(ast.unparse(node.func).split(".")[-2:])
            if named in _FORBIDDEN:
                yield node.lineno, named
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [one.name for one in node.names]
            roots = {(getattr(node, "module", None) or name).split(".")[0] for name in names}
            for root in roots & _FORBIDDEN_MODULES:
                yield node.lineno, f"import {root}"
