"""Nothing in the repository belongs to one machine."""

import os
import re
import stat
import tomllib

# Written with brackets so that this file does not find itself.
MACHINE = re.compile(
    r"(?<![\w.])/[w]ork/"
    r"|(?<![\w.])/[r]oot/"
    r"|(?<![\w.])/[h]ome/\w+/"
    r"|(?<![\w.])/[U]sers/\w+/"
    r"|/opt/[p]ypi"
    r"|[p]ypi\.org|[p]ythonhosted\.org|[n]pmjs\.org"
)
LOCKED = {"uv.lock"}  # a lock file names the registry that it was resolved from


def test_no_file_names_a_machine_path_or_a_package_registry(tree):
    found = [
        f"{tree.name(path)}:{number} {match.group()}"
        for path in tree.repository_files
        if tree.name(path) not in LOCKED
        for number, line in enumerate(_lines(path), start=1)
        if (match := MACHINE.search(line))
    ]

    assert not found


def test_the_pattern_finds_what_it_should():
    assert MACHINE.search("see /" + "work/main")
    assert MACHINE.search("https://pypi" + ".org/simple")
    assert not MACHINE.search("https://example.com/work/orders")


def test_no_file_is_big_without_need(tree):
    big = {
        tree.name(path): path.stat().st_size
        for path in tree.repository_files
        if path.stat().st_size > 512 * 1024 and tree.name(path) not in LOCKED
    }

    assert not big


def test_what_runs_in_ci_can_be_run(tree):
    path = tree.root / ".ci" / "run"

    assert path.stat().st_mode & stat.S_IXUSR
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text()


def test_the_lock_file_knows_every_dependency_that_is_declared(tree):
    project = tomllib.loads((tree.root / "pyproject.toml").read_text())
    packages = tomllib.loads((tree.root / "uv.lock").read_text())["package"]
    locked = next(p for p in packages if p["name"] == project["project"]["name"])["metadata"]
    extras = project["project"]["optional-dependencies"].values()
    declared = [*project["project"]["dependencies"], *(one for extra in extras for one in extra)]

    assert {_package(one) for one in declared} == {one["name"] for one in locked["requires-dist"]}
    for group, requirements in project["dependency-groups"].items():
        in_lock = {one["name"] for one in locked["requires-dev"][group]}
        assert {_package(one) for one in requirements} == in_lock, "run: .uv/bin/uv lock"


def _package(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement).group().lower()


def _lines(path):
    return path.read_bytes().decode("utf-8", errors="replace").splitlines()
