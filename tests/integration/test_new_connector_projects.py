"""A project that ``dovetail new connector`` wrote works untouched: its tests, and its types."""

import os
import re
import subprocess
import sys
from importlib import util

import pytest

from dovetail.cli.scaffold import Project, write_project
from dovetail.cli.scaffold_auth import AUTHS
from dovetail.cli.scaffold_entity import ENTITIES
from dovetail.testing.extension import offered_by

# Each way to authenticate with another entity, and one project of all entities.
CHOICES = {"token": ["contact"], "api-key": ["company"], "basic": ["ticket"], "oauth2": [*ENTITIES]}
EDITS, CONTRACT = "simulator or appears_on_the_other_side", "(TestOwn and not socket)"


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Return the folder of a project for each way to authenticate, by that way's name."""
    folder = tmp_path_factory.mktemp("projects")
    made = {}
    for auth, entities in CHOICES.items():
        name = f"own_{auth.replace('-', '_')}"
        chosen = tuple(ENTITIES[one] for one in entities)
        made[auth] = folder / name
        write_project(Project(name, name.title(), AUTHS[auth], chosen, "0.1.0"), folder / name)
    return made


def run(folder, *arguments, **env):
    """Run a module of Python there; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.parametrize(
    ("auth", "chosen"),
    [
        ("token", ""),  # all that there are
        ("oauth2", f"oauth or {EDITS} or ({CONTRACT} and deals)"),
        ("api-key", f"{EDITS} or {CONTRACT}"),
        ("basic", f"{EDITS} or {CONTRACT}"),
    ],
    ids=["token", "oauth2", "api-key", "basic"],
)
def test_the_projects_own_tests_pass(projects, auth, chosen):
    done = run(projects[auth], "pytest", "-q", "-k", chosen, "-p", "no:cacheprovider")

    assert " passed" in done.stdout
    assert re.search(r"[1-9]\d* kept, 0 broken", done.stdout)


@pytest.mark.real_time
@pytest.mark.slow
@pytest.mark.skipif(util.find_spec("mypy") is None, reason="mypy is not installed")
def test_the_projects_are_typed_strictly(projects):
    folder = next(iter(projects.values())).parent
    sources = ":".join(f"{path.name}/src" for path in projects.values())
    files = [f"{path.name}/{part}" for path in projects.values() for part in ("src", "tests")]
    files += [f"{path.name}/examples" for path in projects.values()]

    run(
        folder,
        *("mypy", "--strict", "--explicit-package-bases", "--cache-dir", ".cache", *files),
        MYPYPATH=f"{sources}:.",
    )


def test_a_project_that_is_not_installed_is_known_while_it_is_offered(projects, monkeypatch):
    from dovetail.connector_sdk.registry import connector_class

    monkeypatch.syspath_prepend(projects["token"] / "src")
    with offered_by(projects["token"] / "pyproject.toml"):
        assert connector_class("own_token").platform == "own_token"
