"""The files of the project, as the tests of this folder see them."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
from functools import cached_property
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON_FOLDERS = ("src", "tests", "examples", "docs", "scripts", "benchmarks")


class SourceTree:
    """Reads each file once for the whole session."""

    root = ROOT

    def __init__(self) -> None:
        self._parsed: dict[Path, ast.Module] = {}

    @cached_property
    def python_files(self) -> list[Path]:
        """Every Python file of the project."""
        return [path for name in PYTHON_FOLDERS for path in sorted((ROOT / name).rglob("*.py"))]

    @cached_property
    def product_files(self) -> list[Path]:
        """Every Python file that is shipped."""
        return sorted((ROOT / "src" / "dovetail").rglob("*.py"))

    @cached_property
    def repository_files(self) -> list[Path]:
        """Every file that is in the repository, or would be after ``git add``."""
        # A clone may belong to another user than the one who tests it (CI as root).
        git = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-c", "-o", "--exclude-standard"]
        listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]

    def name(self, path: Path) -> str:
        """The path as it is written in messages and tables of exceptions."""
        return path.relative_to(ROOT).as_posix()

    def parse(self, path: Path) -> ast.Module:
        """The syntax tree of a file."""
        if path not in self._parsed:
            text = path.read_text(encoding="utf-8")
            self._parsed[path] = ast.parse(text, filename=str(path))
        return self._parsed[path]

    def imports(self, path: Path) -> set[str]:
        """The absolute names of what a file imports, anywhere in it."""
        names: set[str] = set()
        for node in ast.walk(self.parse(path)):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module)
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
        return names

    def script(self, name: str) -> ModuleType:
        """Load a script of the repository as a module."""
        spec = importlib.util.spec_from_file_location(Path(name).stem, ROOT / name)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


@pytest.fixture(scope="session")
def tree() -> SourceTree:
    return SourceTree()
