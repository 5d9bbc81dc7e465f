"""The command line in this process: arguments, exit codes, what goes where."""

import json
import subprocess
import sys

import pytest

from dovetail import errors
from dovetail.cli.command import answer
from dovetail.cli.main import COMMANDS, run
from dovetail.cli.screen import Screen, exit_code

DECLARATION = """
name: CRM
integration:
  platforms: [hubspot, salesforce]
  syncMode: bidirectional
  entities: [contacts]
"""
PROGRAM = """
from dovetail import Contact_or_nothing
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOVETAIL_DATABASE", raising=False)


def call(capsys, *arguments):
    """Return the exit code, standard output and standard error."""
    code = run([str(one) for one in arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_every_command_and_every_exit_code(capsys, arguments):
    code, out, _ = call(capsys, *arguments)

    assert code == 0
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert "130 interrupted" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits_the_list_of_commands(capsys, name):
    code, out, _ = call(capsys, name, "--help")
    _, listed, _ = call(capsys, "--help")

    assert code == 0
    assert "Usage: dovetail" in out
    line = next(line for line in listed.splitlines() if line.startswith(f"  {name} "))
    assert not line.endswith("..."), "shorten the first line of its docstring"


def test_help_loads_nothing_that_commands_work_with():
    heavy = ("sqlalchemy", "aiohttp", "pydantic", "alembic", "starlette", "structlog", "uvicorn")
    code = (
        "import sys; from dovetail.cli.main import run; run(['--help']);"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stderr.strip() == "[]"


def test_a_mistyped_command_names_the_closest(capsys):
    code, out, err = call(capsys, "conect")

    assert (code, out) == (2, "")
    assert "'connect'" in err


def test_a_wrong_option_is_json_on_standard_output_when_json_is_asked_for(capsys):
    code, out, err = call(capsys, "sandbox", "--port", "many", "--json")

    assert code == 2
    assert json.loads(out)["error"]["code"] == "usage"
    assert "--port" in err


def test_check_shows_what_a_declaration_means(capsys, tmp_path):
    (tmp_path / "crm.yaml").write_text(DECLARATION)

    code, out, _ = call(capsys, "check", "crm.yaml")

    assert code == 0
    assert "both ways" in out
    assert max(len(line.rstrip()) for line in out.splitlines()) <= 100


def test_check_as_json_lists_handlers_and_their_next_ticks(capsys, tmp_path):
    (tmp_path / "ticking_program.py").write_text(
        "from dovetail import Event, every, on\n\n"
        "@on('order.*', retry=None)\nasync def handle(event: Event): ...\n\n"
        "@every('0 7 * * *', timezone='Europe/Berlin')\nasync def report(): ...\n"
    )

    code, out, _ = call(capsys, "check", "ticking_program.py", "--json")

    told = json.loads(out)
    assert code == 0
    assert {one["name"]: one["events"] for one in told["handlers"]}["handle"] == ["order.*"]
    (schedule,) = told["schedules"]
    assert schedule["handler"] == "report"
    assert len(set(schedule["next"])) == 3
    assert schedule["next"] == sorted(schedule["next"])


def test_a_wrong_declaration_carries_its_problems(capsys, tmp_path):
    (tmp_path / "crm.yaml").write_text(DECLARATION.replace("bidirectional", "bidirectionl"))

    code, out, err = call(capsys, "check", "crm.yaml", "--json")

    (problem,) = json.loads(out)["error"]["facts"]["problems"]
    assert code == 2
    assert problem["path"] == "integration.syncMode"
    assert problem["closest"] == "bidirectional"
    assert "bidirectional" in problem["allowed"]
    assert "Traceback" not in err


def test_a_module_that_fails_when_imported_is_told_by_its_line(capsys, tmp_path):
    (tmp_path / "broken_program.py").write_text(PROGRAM)

    code, _, err = call(capsys, "check", "broken_program.py")

    assert code == 2
    assert "broken_program.py, line 2: ImportError" in err
    assert "Traceback" not in err


def test_debug_shows_where_an_error_happened(capsys):
    _, _, err = call(capsys, "check", "nowhere.py", "--debug")

    assert "Traceback" in err
    assert "Error: There is no file nowhere.py" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("events", "tail"),
        ("dead", "list"),
        ("conflicts", "list"),
        ("connect", "--list"),
        ("events", "show", "1"),
    ],
)
def test_looking_at_a_database_that_is_not_there_makes_none(capsys, tmp_path, arguments):
    code, _, err = call(capsys, *arguments, "--database", "none.db")

    assert code == 2
    assert "none.db" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("a"), 2),
        (errors.DeclarationError("a"), 2),
        (errors.MissingCredentialError("a"), 2),
        (errors.UsageError("a"), 2),
        (errors.EnvironmentInUseError("a"), 3),
        (errors.StoreError("a"), 3),
        (errors.AuthenticationError("a"), 4),
        (errors.PlatformUnavailableError("a"), 4),
        (errors.OutcomeUnknownError("a"), 4),
        (errors.RecordMissingError("a"), 1),
        (errors.RetriesExhaustedError("a"), 1),
        (ZeroDivisionError("a"), 1),
    ],
)
def test_an_error_ends_with_the_exit_code_of_its_kind(error, code):
    assert exit_code(error) == code


def test_a_fault_of_ours_asks_for_a_report(capsys):
    def work():
        raise ZeroDivisionError("by zero")

    code = answer(Screen(), work)

    err = capsys.readouterr().err
    assert code == 1
    assert "ZeroDivisionError: by zero" in err
    assert "--debug" in err


def test_an_interrupted_command_says_so(capsys):
    def work():
        raise KeyboardInterrupt

    assert answer(Screen(), work) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_an_error_never_shows_a_secret(capsys):
    def work():
        raise errors.ConfigError(
            "Refused: Bearer abcdefgh12345678", token="abcdefgh12345678", platform="hubspot"
        )

    answer(Screen(json=True), work)

    told = capsys.readouterr()
    assert "abcdefgh12345678" not in told.out + told.err
    assert json.loads(told.out)["error"]["facts"]["platform"] == "hubspot"
