"""
Plant mistakes that connectors are written with, and see that the connector contract finds each.

    python scripts/planted_connector.py             every mistake
    python scripts/planted_connector.py --only NAME
    python scripts/planted_connector.py --docs      also write the table into its page

A mistake that its rule does not find, or whose place in the source has changed, makes the exit
status 1, and so does a rule that fails with nothing planted.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from planted_connector_mistakes import MISTAKES, Mistake  # noqa: E402 - the folder is no package

PAGE = ROOT / "docs" / "howto" / "test-a-connector.md"
_COMPLAINT = re.compile(r"^\S+?:\d+: AssertionError: (.*)$", re.MULTILINE)
BEGIN, END = "<!-- planted -->", "<!-- /planted -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="mistakes whose name has this in it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--docs", action="store_true", help="write the table into the docs")
    chosen = parser.parse_args(arguments)
    mistakes = [one for one in MISTAKES if chosen.only is None or chosen.only in one.name]
    broken = already_broken(mistakes)
    if broken:
        print(f"A rule fails with nothing planted: {broken}")
        return 1
    missed = 0
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for mistake, found in zip(mistakes, pool.map(complaint, mistakes), strict=True):
            print(f"{mistake.name}\n    {found or 'NOT FOUND'} ({mistake.rule})", flush=True)
            missed += found is None
    if chosen.docs:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{table()}{after}", encoding="utf-8")
    return 1 if missed else 0


def table() -> str:
    """Return the table of the page, with its marks."""
    lines = ["| mistake | planted in | rule that finds it |", "|---|---|---|"]
    lines += [f"| {one.name} | `{one.file}` | {one.told_rule} |" for one in MISTAKES]
    return "\n".join([BEGIN, "", *lines, "", END])


def complaint(mistake: Mistake) -> str | None:
    """Return what the rule says of a source with the mistake; None when it does not fail."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        file = source / "dovetail" / mistake.file
        file.write_text(mistake.planted(file.read_text(encoding="utf-8")), encoding="utf-8")
        status, told = _run([mistake.test], source)
    said = _COMPLAINT.search(told)
    # A rule that only cannot run, or a mistake that is no Python, says nothing.
    return said[1] if status == 1 and said is not None else None


def already_broken(mistakes: Iterable[Mistake]) -> str:
    """Return what pytest says about the rules on the source as it is, if they do not pass."""
    status, told = _run(sorted({one.test for one in mistakes}), ROOT / "src")
    return "" if status == 0 else told


def _run(tests: Sequence[str], source: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(  # noqa: S603 - our own tests
        [*command, "-x", "--tb=line", *tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr)[-4000:]


if __name__ == "__main__":
    sys.exit(main())
