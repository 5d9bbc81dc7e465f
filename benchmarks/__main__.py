"""
Measure: ``make bench``, or ``make bench ONLY=durable_append``.

Each other module of this folder with a ``measure(folder, items)`` is a benchmark. Figures in the
documentation come from here; say which machine they were measured on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure

HERE = Path(__file__).resolve().parent


def names() -> list[str]:
    found = (module.name for module in pkgutil.iter_modules([str(HERE)]))
    return sorted(name for name in found if name not in ("__main__", "figure"))


def run(name: str, items: int) -> list[Figure]:
    # Not in /tmp, which may be memory: a commit has to reach a disk.
    build = HERE.parent / "build"
    build.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=build))
    try:
        return importlib.import_module(f"benchmarks.{name}").measure(folder, items)
    finally:
        shutil.rmtree(folder)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=names(), help="one benchmark")
    parser.add_argument("--items", type=int, default=20_000, help="how much work (default 20000)")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    options = parser.parse_args(arguments)
    console = Console()
    for name in [options.only] if options.only else names():
        with console.status(f"measuring {name}"):
            figures = run(name, options.items)
        if options.json:
            for figure in figures:
                print(json.dumps({"benchmark": name, **asdict(figure)}))
        else:
            console.print(table(name, figures))
    return 0


def table(name: str, figures: list[Figure]) -> Table:
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    made = Table(title=f"{name} ({machine})", title_justify="left")
    for head in ("", "per second", "is", "note"):
        made.add_column(head, justify="right" if head == "per second" else "left")
    for figure in figures:
        made.add_row(figure.name, f"{figure.per_second:,.0f}", figure.what, figure.note)
    return made


if __name__ == "__main__":
    sys.exit(main())
