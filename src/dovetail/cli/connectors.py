"""``dovetail connectors``: the platforms that can be connected, and who brings them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dovetail.cli.command import command, new_app
from dovetail.cli.screen import FAILED, OK, Screen

app = new_app()

_READY, _REFUSED, _BROKEN = "ready", "refused", "broken"
_STYLES = {_READY: "green", _REFUSED: "bold red", _BROKEN: "bold red"}


@dataclass(frozen=True, slots=True)
class Row:
    """One connector: what it is called, who brings it, and whether it can be used."""

    platform: str
    title: str
    package: str
    resources: list[str]
    sandbox: bool
    status: str
    reason: str | None = None


@app.command()
@command
def connectors(screen: Screen) -> int:
    """
    List the connectors that there are.

    They come with Dovetail, or with an installed package. Each is imported. Ends with exit code 1
    when one of a package cannot be used: it or its simulator is broken, or it has the name of a
    connector that comes with Dovetail.
    """
    rows = _rows()
    if screen.json:
        screen.document({"connectors": [asdict(one) for one in rows]})
    else:
        screen.table(
            ("Name", "Platform", "Resources", "Sandbox", "From", "Status"),
            [
                (
                    one.platform,
                    one.title,
                    ", ".join(one.resources),
                    "yes" if one.sandbox else "no",
                    one.package,
                    one.status,
                )
                for one in rows
            ],
            styles=_STYLES,
        )
        for one in rows:
            if one.reason:
                screen.note(one.reason)
        if not any(one.reason for one in rows):
            screen.note("`dovetail new connector NAME` writes one for a platform of your own.")
    return FAILED if any(one.reason for one in rows) else OK


def _rows() -> list[Row]:
    import importlib

    from dovetail.connector_sdk.registry import (
        built_in_platforms,
        connector_class,
        platforms,
        refused_connectors,
    )
    from dovetail.core.extension import CONNECTORS, SIMULATORS, extensions
    from dovetail.errors import BrokenExtensionError

    # By name: the product imports no simulators; this command imports those of other packages.
    sandbox = importlib.import_module("dovetail.simulator_sdk.sandbox")
    simulated = sandbox.simulated_platforms()
    rows = []
    for name in platforms():
        is_ours = name in built_in_platforms()
        brought = extensions(CONNECTORS).get(name, ())
        package = "dovetail" if is_ours else " and ".join(one.package for one in brought)
        try:
            kind = connector_class(name)
            if name in extensions(SIMULATORS):
                sandbox.simulator_class(name)
        except BrokenExtensionError as error:
            rows.append(Row(name, "", package, [], name in simulated, _BROKEN, error.message))
            continue
        held = [resource.name for resource in kind.resources]
        rows.append(Row(name, kind.title, package, held, name in simulated, _READY))
    for name in sorted(set(extensions(SIMULATORS)) - set(platforms())):
        try:
            sandbox.simulator_class(name)
        except BrokenExtensionError as error:
            package = error.facts["package"]
            rows.append(Row(name, "", package, [], True, _BROKEN, error.message))
    for refused in refused_connectors():
        platform, package = refused.facts["platform"], refused.facts["package"]
        rows.append(Row(platform, "", package, [], False, _REFUSED, refused.message))
    return rows
