"""Fragments become the entry of a release."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "changelog.py"
HEAD = "# Changelog\n\n<!-- releases -->\n\n## 0.1.0 - 2026-01-01\n\n### Added\n\n- The start.\n"


@pytest.fixture
def changelog():
    spec = importlib.util.spec_from_file_location("changelog", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path):
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes" / "README.md").write_text("How to write one.\n")
    (tmp_path / "CHANGELOG.md").write_text(HEAD)
    return tmp_path


def test_a_release_groups_its_fragments_and_removes_them(changelog, project):
    (project / "changes" / "b-sync.fixed.md").write_text("Deletes need evidence.\n")
    (project / "changes" / "a-router.added.md").write_text("An event router.\n\nSee the docs.\n")

    status = changelog.main(["0.2.0", "--date", "2026-02-03"], root=project)

    assert status == 0
    assert (project / "CHANGELOG.md").read_text() == (
        "# Changelog\n\n<!-- releases -->\n\n## 0.2.0 - 2026-02-03\n\n"
        "### Added\n\n- An event router.\n\n  See the docs.\n\n"
        "### Fixed\n\n- Deletes need evidence.\n\n"
        "## 0.1.0 - 2026-01-01\n\n### Added\n\n- The start.\n"
    )
    assert [path.name for path in (project / "changes").iterdir()] == ["README.md"]


@pytest.mark.parametrize(
    "name", ["sync.improved.md", "Sync.added.md", "sync.added.txt", "sync.md", "two words.added.md"]
)
def test_a_misnamed_fragment_stops_the_release_and_stays(changelog, project, capsys, name):
    (project / "changes" / name).write_text("Something.\n")

    status = changelog.main(["0.2.0"], root=project)

    assert status == 1
    assert name in capsys.readouterr().err
    assert (project / "changes" / name).exists()
    assert (project / "CHANGELOG.md").read_text() == HEAD


def test_an_empty_fragment_is_refused(changelog, project):
    (project / "changes" / "sync.added.md").write_text("\n")

    assert changelog.main(["--check"], root=project) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "which version"),
        (["next"], "which version"),
        (["0.1.0"], "already"),
        (["0.2.0"], "nothing to release"),
    ],
)
def test_a_release_that_cannot_be_says_why(changelog, project, capsys, arguments, problem):
    if arguments == ["0.1.0"]:
        (project / "changes" / "sync.added.md").write_text("Something.\n")

    assert changelog.main(arguments, root=project) == 1
    assert problem in capsys.readouterr().err
    assert (project / "CHANGELOG.md").read_text() == HEAD
