"""
Fold the fragments of changes/ into CHANGELOG.md: ``python scripts/changelog.py 0.2.0``.

A fragment is one file per change, ``changes/<slug>.<kind>.md``, so that parallel work does not
meet in one file. With ``--check`` only the names are looked at.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("added", "changed", "fixed", "removed")
FRAGMENT = re.compile(rf"[a-z0-9]+(-[a-z0-9]+)*\.({'|'.join(KINDS)})\.md")
MARK = "<!-- releases -->\n"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Check the names, or make the entry of a release and remove its fragments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", nargs="?", help="the version to be released, as 1.2.3")
    parser.add_argument("--date", default=datetime.datetime.now(datetime.UTC).date().isoformat())
    parser.add_argument("--check", action="store_true", help="only look at the fragments' names")
    options = parser.parse_args(arguments)
    wrong = misnamed(root / "changes")
    if wrong:
        return stop(f"not <slug>.<{'|'.join(KINDS)}>.md, or empty: {', '.join(wrong)}")
    if options.check:
        return 0
    if not re.fullmatch(r"\d+\.\d+\.\d+", options.version or ""):
        return stop("say which version is released, as 1.2.3")
    return release(root, options.version, options.date)


def misnamed(folder: Path) -> list[str]:
    """Return the names of fragments that the changelog could not place, or that say nothing."""
    return [
        path.name
        for path in sorted(folder.iterdir())
        if path.name != "README.md"
        and not (FRAGMENT.fullmatch(path.name) and path.read_text(encoding="utf-8").strip())
    ]


def release(root: Path, version: str, date: str) -> int:
    """Write the entry of *version* above the earlier ones, then remove its fragments."""
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text(encoding="utf-8")
    if f"\n## {version} " in text:
        return stop(f"CHANGELOG.md has an entry for {version} already")
    if MARK not in text:
        return stop(f"CHANGELOG.md has lost its mark: {MARK.strip()}")
    fragments = sorted(path for path in (root / "changes").glob("*.md") if path.name != "README.md")
    if not fragments:
        return stop("changes/ holds no fragment: nothing to release")
    changelog.write_text(text.replace(MARK, MARK + entry(version, date, fragments), 1), "utf-8")
    for path in fragments:
        path.unlink()
    print(f"CHANGELOG.md: {version}, {len(fragments)} changes")
    return 0


def entry(version: str, date: str, fragments: list[Path]) -> str:
    """Return the Markdown of one release, grouped by kind."""
    lines = ["", f"## {version} - {date}", ""]
    for kind in KINDS:
        of_kind = [path for path in fragments if path.name.endswith(f".{kind}.md")]
        if of_kind:
            lines += [f"### {kind.capitalize()}", "", *(item(path) for path in of_kind), ""]
    return "\n".join(lines)


def item(path: Path) -> str:
    """Return a fragment as one list item; its further lines are indented below the first."""
    first, *rest = path.read_text(encoding="utf-8").strip().splitlines()
    return "\n".join([f"- {first}", *(f"  {line}".rstrip() for line in rest)])


def stop(problem: str) -> int:
    """Tell the person and return the exit status."""
    print(f"changelog: {problem}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
