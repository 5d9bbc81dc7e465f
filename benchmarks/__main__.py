"""
Measure: ``make bench``, or ``make bench ONLY=durable_append``.

Each other module of this folder with a ``measure(folder, items)`` that returns rows is a benchmark:
medians of several rounds, ours and what stands beside it measured in turn. The table goes to the
terminal and to ``build/bench.json``; ``--publish`` puts it into the documentation as well. A goal
that is missed is no failure of the run: the row says so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figure import Figure, rows_of
from benchmarks.row import Row

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
PUBLISHED = HERE / "figures.json"


def names() -> list[str]:
    """The modules that measure something, told apart by their text: nothing is imported."""
    found = HERE.glob("*.py")
    return sorted(one.stem for one in found if "\ndef measure(" in one.read_text(encoding="utf-8"))


def run(name: str, items: int) -> list[Row]:
    # Not in /tmp, which may be memory: a commit has to reach a disk.
    BUILD.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=BUILD))
    try:
        found = importlib.import_module(f"benchmarks.{name}").measure(folder, items)
    finally:
        shutil.rmtree(folder)
    if any(isinstance(one, Figure) for one in found):
        return rows_of(found)
    return list(found)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=names(), help="one benchmark")
    parser.add_argument("--items", type=int, default=20_000, help="how much work (default 20000)")
    parser.add_argument("--json", action="store_true", help="one JSON line per row")
    parser.add_argument("--publish", action="store_true", help="put the table into the docs")
    options = parser.parse_args(arguments)
    if options.publish and options.only:
        parser.error("only a whole run is published")
    # A table that is not on a terminal is not cut to eighty columns.
    wide = None if sys.stdout.isatty() else 200
    console = Console(stderr=options.json, width=wide)
    report: dict[str, object] = {"machine": machine(), "rows": []}
    records: list[dict[str, object]] = []
    for name in [options.only] if options.only else names():
        started = time.monotonic()
        with console.status(f"measuring {name}"):
            rows = run(name, options.items)
        records += [{"benchmark": name, **row.to_record()} for row in rows]
        if options.json:
            for record in records[-len(rows) :]:
                print(json.dumps(record), flush=True)
        else:
            console.print(table(f"{name} ({time.monotonic() - started:.0f} s)", rows))
    report["rows"] = records
    report["machine"]["load_after"] = load()  # type: ignore[index]
    write(BUILD / "bench.json", report)
    if options.publish:
        write(PUBLISHED, report)
        subprocess.run([sys.executable, "docs/generate.py"], cwd=HERE.parent, check=True)
    return 0


def write(path: Path, report: object) -> None:
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def table(title: str, rows: list[Row]) -> Table:
    made = Table(title=title, title_justify="left", expand=True)
    for head in ("", "ours", "unit", "beside", "theirs", "ratio", "goal", "holds", "note"):
        made.add_column(head, justify="right" if head in ("ours", "theirs", "ratio") else "left")
    for row in rows:
        holds = {None: "", True: "yes", False: "[bold red]no[/]"}[row.holds]
        cells = (row.name, number(row.ours), row.unit, row.beside, number(row.theirs))
        made.add_row(*cells, number(row.ratio), row.goal or "", holds, row.note)
    return made


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> dict[str, object]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "load_before": load(),
    }


def load() -> float:
    """The load average of the last minute: what else ran is part of the figures."""
    return round(os.getloadavg()[0], 2)


if __name__ == "__main__":
    sys.exit(main())
