"""
Kill a running sync again and again, and look for what was lost or doubled: ``make torture``.

    python -m torture --kills 200 --seed 1

Exit code 1 when something was found; the folder with the evidence is kept and named.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs (default 200)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--records", type=int, default=100, help="contacts per platform")
    parser.add_argument("--keep", action="store_true", help="keep the folder in any case")
    options = parser.parse_args()
    # Not in /tmp, which may be memory: a commit has to reach a disk.
    build = HERE.parent / "build"
    build.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{options.seed}-", dir=build))
    os.environ["TORTURE_FOLDER"] = str(folder)
    console.print(f"seed {options.seed}, {options.kills} kills, evidence in {folder}")
    found = storm(folder, options)
    if found or options.keep:
        console.print(f"Evidence: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if found else 0


def storm(folder: Path, options: argparse.Namespace) -> list[str]:
    from torture.storm import Storm

    def tell(number: int) -> None:
        if number % 10 == 0:
            console.print(f"  {number} kills")

    made = Storm(folder, seed=options.seed, records=options.records)
    report = made.run(options.kills, tell)
    table = Table(title=f"seed {report.seed}", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    for kind, count in sorted(report.kills.items()):
        table.add_row(f"SIGKILL {kind}", f"{count:,}")
    table.add_row("times everything was finished and judged", f"{report.checkpoints:,}")
    for name, count in report.counts.items():
        table.add_row(name, f"{count:,}")
    table.add_row("seconds", f"{report.seconds:.0f}")
    console.print(table)
    for text in report.violations[:20]:
        console.print(f"[red]violation[/] {text}", highlight=False)
    verdict = (
        "[red]violations found[/]" if report.violations else "[green]nothing lost or doubled[/]"
    )
    console.print(f"Verdict: {verdict}")
    return report.violations


if __name__ == "__main__":
    sys.exit(main())
