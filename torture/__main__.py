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

HERE = Path(__file__).resolve().parent
console = Console()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs (default 200)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--records", type=int, default=200, help="contacts per platform")
    parser.add_argument("--keep", action="store_true", help="keep the folder in any case")
    options = parser.parse_args()
    apart()
    # Not in /tmp, which may be memory: a commit has to reach a disk.
    build = HERE.parent / "build"
    build.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{options.seed}-", dir=build))
    os.environ["TORTURE_FOLDER"] = str(folder)
    os.environ["DOVETAIL_BUSY_S"] = "2"  # a lock is held longer than that
    console.print(f"seed {options.seed}, {options.kills} kills, evidence in {folder}")
    found = storm(folder, options)
    if found or options.keep:
        console.print(f"Evidence: {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if found else 0


def apart() -> None:
    """Go on in a mount namespace of our own, where permitted: what is mounted ends with it."""
    from torture.volume import may_mount

    if "TORTURE_MOUNTS" in os.environ:
        return
    os.environ["TORTURE_MOUNTS"] = "1" if may_mount() else "0"
    if os.environ["TORTURE_MOUNTS"] == "1":
        again = ["unshare", "-m", sys.executable, "-m", "torture", *sys.argv[1:]]
        os.execvp(again[0], again)


def storm(folder: Path, options: argparse.Namespace) -> list[str]:
    from torture.storm import Storm

    def tell(number: int) -> None:
        console.print(f"  {number} kills", end="\r" if console.is_terminal else "\n")

    made = Storm(folder, seed=options.seed, records=options.records)
    report = made.run(options.kills, tell)
    console.print(report.table())
    for text in report.violations[:20]:
        console.print(f"[red]violation[/] {text}", highlight=False)
    verdict = (
        "[red]violations found[/]" if report.violations else "[green]nothing lost or doubled[/]"
    )
    console.print(f"Verdict: {verdict}")
    return report.violations


if __name__ == "__main__":
    sys.exit(main())
