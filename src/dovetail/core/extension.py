"""
What other installed packages add to Dovetail, found by entry point and loaded when it is used.

A package says in its pyproject.toml what it adds, and nothing has to be registered::

    [project.entry-points."dovetail.connectors"]
    acme = "dovetail_acme.connector:Acme"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from dovetail.errors import BrokenExtensionError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

CONNECTORS = "dovetail.connectors"
SIMULATORS = "dovetail.simulators"


@dataclass(frozen=True, slots=True)
class Extension:
    """One thing that a package adds: `name` is the platform, `value` where the class is."""

    group: str
    name: str
    value: str
    package: str

    def load(self, wanted: type[T]) -> type[T]:
        """
        Import the class; what its module does when it is imported happens now.

        Raises:
            BrokenExtensionError: It cannot be imported, or is not a subclass of *wanted*.
        """
        from importlib.metadata import EntryPoint  # noqa: PLC0415 - see `_all_extensions`

        try:
            found = EntryPoint(self.name, self.value, self.group).load()
        except Exception as error:  # whatever code of others raises, it is not ours to end for
            raise self.broken(f"cannot be imported ({type(error).__name__}: {error})") from error
        if not (isinstance(found, type) and issubclass(found, wanted)):
            raise self.broken(f"is not a subclass of {wanted.__module__}.{wanted.__qualname__}")
        platform = getattr(found, "platform", None)
        if platform != self.name:
            raise self.broken(f"says platform = {platform!r}, and must say {self.name!r}")
        return found

    def broken(self, why: str) -> BrokenExtensionError:
        """Return the error of an extension that cannot be used."""
        return BrokenExtensionError(
            f"What {self.package} adds as {self.name!r} cannot be used: {self.value} {why}. "
            f"Correct the package or uninstall it; its entry point is in the group {self.group}.",
            platform=self.name,
            package=self.package,
        )


def extensions(group: str) -> Mapping[str, tuple[Extension, ...]]:
    """Return by name what the installed packages add; two packages may claim one name."""
    return _all_extensions().get(group, {})


def only_extension(group: str, name: str) -> Extension | None:
    """
    Return what is added under a name, None when nothing is.

    Raises:
        BrokenExtensionError: More than one package adds it.
    """
    found = extensions(group).get(name, ())
    if len(found) > 1:
        others = " and ".join(one.package for one in found[1:])
        raise found[0].broken(f"has the same name as what {others} adds")
    return found[0] if found else None


def look_again() -> None:
    """Forget what was found, because what is installed has changed."""
    _all_extensions.cache_clear()


@cache
def _all_extensions() -> Mapping[str, Mapping[str, tuple[Extension, ...]]]:
    # Imported here: a declaration that names only platforms we know does not pay for it.
    from importlib.metadata import entry_points  # noqa: PLC0415

    found: dict[str, dict[str, tuple[Extension, ...]]] = {}
    for group in (CONNECTORS, SIMULATORS):
        named = found.setdefault(group, {})
        for point in entry_points(group=group):
            known = named.get(point.name, ())
            added = Extension(group, point.name, point.value, _package(point))
            named[point.name] = known if added in known else (*known, added)
    return found


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
