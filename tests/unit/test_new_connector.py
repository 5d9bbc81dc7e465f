"""``dovetail new connector``: what it writes, and what it refuses."""

import json
import subprocess
import sys
from importlib import resources, util

import pytest

from dovetail.cli.main import run
from dovetail.cli.scaffold import Project
from dovetail.cli.scaffold_auth import AUTHS
from dovetail.cli.scaffold_entity import ENTITIES

NAMES = [
    ("x", "X"),
    ("contact", "Contact"),
    ("none", "None"),
    ("acme", "Acme"),
    ("a2345678901234567890", "The Longest Of All Names"),
]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(capsys, *arguments):
    """Return the exit code, standard output and standard error."""
    code = run(["new", "connector", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_a_project_is_written_and_the_next_steps_are_told(capsys, tmp_path):
    code, out, err = call(capsys, "acme")

    assert code == 0
    assert "Wrote a connector for Acme into dovetail-acme" in out
    assert "src/dovetail_acme/connector.py" in out
    assert "dovetail sandbox acme hubspot" in err
    assert (tmp_path / "dovetail-acme" / "pyproject.toml").is_file()


def test_json_names_folder_and_files(capsys, tmp_path):
    code, out, _ = call(capsys, "acme", "--dir", tmp_path / "there", "--json")
    told = json.loads(out)

    assert code == 0
    assert told["folder"] == str(tmp_path / "there")
    assert str(tmp_path / "there" / "README.md") in told["files"]


def test_an_entity_may_be_named_in_the_plural_and_counts_once(capsys, tmp_path):
    call(capsys, "acme", "--entity", "deal", "--entity", "deals")

    text = (tmp_path / "dovetail-acme" / "src" / "dovetail_acme" / "connector.py").read_text()
    assert "resources = (DEALS,)" in text


def test_an_empty_folder_is_taken(capsys, tmp_path):
    (tmp_path / "empty").mkdir()

    assert call(capsys, "acme", "--dir", "empty")[0] == 0


def test_a_folder_with_something_in_it_is_left_alone(capsys, tmp_path):
    (tmp_path / "dovetail-acme").mkdir()
    (tmp_path / "dovetail-acme" / "mine.txt").write_text("mine")
    code, out, err = call(capsys, "acme")

    assert (code, out) == (3, "")
    assert "nothing was written. Name another folder with --dir" in err.replace("\n", " ")
    assert [path.name for path in (tmp_path / "dovetail-acme").iterdir()] == ["mine.txt"]


def test_a_file_in_the_place_of_the_folder_is_left_alone(capsys, tmp_path):
    (tmp_path / "taken").write_text("mine")

    assert call(capsys, "acme", "--dir", "taken")[0] == 3
    assert call(capsys, "acme", "--dir", "taken/below")[0] == 3
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["", "Acme", "1acme", "acme-crm", "acme__crm", "acme_", "../acme", "class", "a" * 21]
)
def test_a_name_that_no_platform_can_have_is_refused(capsys, tmp_path, name):
    code, _, err = call(capsys, "--", name)

    assert code == 2
    assert "cannot be the name of a platform. Take up to 20 small letters" in err.replace("\n", " ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["hubspot", "salesforce"])
def test_the_name_of_a_built_in_platform_is_refused(capsys, tmp_path, name):
    code, _, err = call(capsys, name)

    assert code == 2
    assert f"`dovetail connect {name}`" in err.replace("\n", " ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--auth", "magic"), "--auth magic: there are token, oauth2, api-key, basic."),
        (
            ("--entity", "order"),
            "--entity order: there are contact, company, deal, ticket, contacts",
        ),
        (("--title", 'A"c'), "without quotes"),
        (("--title", "A" * 25), "up to 24 letters"),
        (("--title", ""), "up to 24 letters"),
    ],
)
def test_a_wrong_option_says_what_there_is(capsys, tmp_path, arguments, told):
    code, _, err = call(capsys, "acme", *arguments)

    assert code == 2
    assert told in err.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_a_platform_that_declarations_know_already_has_its_own_spelling(capsys):
    assert "Wrote a connector for QuickBooks" in call(capsys, "quickbooks")[1]


@pytest.mark.parametrize("name", ["contact", "resource", "none", "false", "connector"])
def test_a_class_has_no_name_that_its_module_needs(name):
    project = Project(name, "Title", AUTHS["token"], tuple(ENTITIES.values()), "0.1.0")
    text = project.files()[f"src/dovetail_{name}/connector.py"]

    assert f"class {name.title()}Platform(Connector):" in text


@pytest.mark.parametrize("auth", AUTHS.values(), ids=AUTHS)
def test_no_name_of_a_template_is_left_in_a_file(auth):
    project = Project("acme", "Acme", auth, tuple(ENTITIES.values()), "0.1.0")

    for path, text in project.files().items():
        assert "$" not in text.replace(r"+$", ""), path
        assert text.endswith("\n") or path.endswith("py.typed"), path


def test_the_templates_are_data_of_the_package():
    folder = resources.files("dovetail.cli") / "template" / "connector"
    names = {path.name for path in folder.iterdir()}

    assert {"README.md.txt", "connector.py.txt", "simulator.py.txt", "oauth.py.txt"} <= names


@pytest.mark.skipif(util.find_spec("ruff") is None, reason="ruff is not installed")
def test_what_is_written_is_formatted_and_linted_whatever_it_is_called(tmp_path):
    every = list(ENTITIES.values())
    for number, (name, title) in enumerate(NAMES):
        for auth in AUTHS.values():
            for part, chosen in enumerate((every, every[:1], every[3:], every[2:0:-1])):
                made = Project(name, title, auth, tuple(chosen), "0.1.0").files()
                for path, text in made.items():
                    place = tmp_path / f"{number}-{auth.name}-{part}" / path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_text(text)

    for arguments in (["format", "--check", "."], ["check", "."]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
