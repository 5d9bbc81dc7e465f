"""Connectors and simulators of a project that is not installed, found as if it were."""

from __future__ import annotations

import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dovetail.core.extension import look_again


@contextmanager
def offered_by(pyproject: Path) -> Iterator[None]:
    """
    Let Dovetail find what a project's pyproject.toml offers, until the block ends.

    Where the project is installed too, what the file says now counts. The code itself must be on
    the path: pytest's ``pythonpath = ["src"]`` sees to that.

    Args:
        pyproject: The file whose ``[project.entry-points]`` are meant.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_metadata(pyproject, Path(folder))
        sys.path.insert(0, folder)
        look_again()
        try:
            yield
        finally:
            sys.path.remove(folder)
            look_again()


def write_metadata(pyproject: Path, folder: Path) -> None:
    """Write into a folder what an installer would, so that Python finds the project there."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project.get("version", "0")
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    sections = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in project.get("entry-points", {}).items()
    ]
    (info / "entry_points.txt").write_text("\n".join(sections))
