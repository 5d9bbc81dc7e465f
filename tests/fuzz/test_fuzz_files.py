"""Files and arguments that a person gives: an error that says what is wrong, never a traceback."""

from pathlib import Path

import pytest
import structlog
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dovetail.cli.main import run as dovetail
from dovetail.core import json
from dovetail.core.clock import SystemClock
from dovetail.errors import ConfigError
from dovetail.service.declaration import Service, load_services
from dovetail.simulator_sdk.load import load_file
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.asgi import AsgiTransport

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "declarations"
FILES = sorted(EXAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_declarations_with_wrong_parts_are_taken_or_refused(fuzzing, mutated, file):
    declared = yaml.safe_load(file.read_text())

    @fuzzing
    @given(mutated(declared))
    def check(data):
        try:
            if isinstance(data, dict):
                Service.create(**data)
        except ConfigError as error:
            assert error.message
        except TypeError as error:
            # Python's own: a key that is no name cannot be a keyword argument.
            assert "keyword" in str(error) or "argument" in str(error)

    check()


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_declaration_files_of_any_text_are_taken_or_refused(fuzzing, mutated, tmp_path, suffix):
    source = FILES[0].read_text()
    cut = st.tuples(st.integers(0, len(source)), st.integers(0, 30), st.text(max_size=8)).map(
        lambda at: (source[: at[0]] + at[2] + source[at[0] + at[1] :]).encode()
    )
    texts = cut | mutated(yaml.safe_load(source)).map(json.encode)
    odd = st.binary(max_size=60) | st.text("{}[]:-&*!|>%@`#,'\"\n \t<?x1.", max_size=40).map(
        str.encode
    )
    file = tmp_path / f"service{suffix}"

    @fuzzing
    @given(texts | odd)
    def check(data):
        file.write_bytes(data)
        try:
            load_services(file)
        except ConfigError as error:
            assert str(file) in error.message

    check()


def as_csv(rows):
    return "\n".join(",".join(row) for row in rows).encode("utf-8", "surrogatepass")


def test_csv_of_any_bytes_is_loaded_or_refused(fuzzing, tmp_path):
    cell = st.text(max_size=12) | st.sampled_from(["a@example.com", '"', '""', "\0", "x" * 200_000])
    columns = st.sampled_from(
        ["email", "first_name", "last_name", "city", "firstname", "LastName", "", "Email", "nope"]
    )
    tables = st.tuples(
        st.lists(columns, min_size=1, max_size=4), st.lists(st.lists(cell, max_size=4), max_size=4)
    ).map(lambda table: as_csv([table[0], *table[1]]))
    file = tmp_path / "contacts.csv"

    @fuzzing
    @given(tables | st.binary(max_size=80))
    def check(data):
        file.write_bytes(data)
        simulators = build_simulators(
            ["hubspot", "salesforce"], clock=SystemClock(), transport=AsgiTransport({}), records=0
        )
        try:
            load_file(file, simulators)
        except ConfigError as error:
            assert str(file) in error.message

    check()


COMMANDS = (
    ["events", "tail"], ["events", "show"], ["events", "replay"], ["dead", "list"],
    ["dead", "show"], ["dead", "replay"], ["dead", "discard"], ["conflicts", "list"],
    ["conflicts", "resolve"], ["check"], ["doctor"], ["connect", "--list"],
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "--json",
        "--all",
        "--limit",
        "0",
        "-1",
        "1",
        "99999999999999999999999",
        "--handler",
        "*",
        "contact.*",
        "nope",
        "",
        "\x7f",
        "--dry-run",
        "--from-start",
        "--pattern",
        "ü",
        "--",
        "{}",
    ]
) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@pytest.fixture
def own_logging():
    """Commands set logging up for the streams that they find, which pytest closes later."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("own_logging")
def test_arguments_end_in_an_exit_code_and_never_in_a_traceback(
    fuzzing, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOVETAIL_DATABASE", str(tmp_path / "app.db"))

    @fuzzing
    @given(st.sampled_from(COMMANDS), st.lists(WORDS, max_size=4))
    def check(command, words):
        # A database of one's own: what is under test are the arguments.
        code = dovetail([*command, *words, "--json"])
        out, err = capsys.readouterr()
        assert code in range(8)
        assert "Traceback" not in out + err
        if "--" not in words:
            for line in out.splitlines():
                json.decode(line)

    check()
