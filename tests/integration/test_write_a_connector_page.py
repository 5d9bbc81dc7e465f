"""The page on writing a connector is done as it stands there, from an empty folder on."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from dovetail.app.load import load_program
from dovetail.testing.extension import offered_by, write_metadata
from dovetail.testing.loop import run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "howto" / "write-a-connector.md").read_text(encoding="utf-8")
SHELL = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.split("\n")
]
COMMANDS = [line for line in SHELL if line.startswith("dovetail ")]
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def project(dovetail, tmp_path):
    """Do the first command of the page; return the folder that it wrote."""
    dovetail.run(*shlex.split(COMMANDS[0])[1:], env={"HOME": str(tmp_path / "home")})
    return tmp_path / "dovetail-acme"


@pytest.mark.real_time
def test_the_commands_of_the_page_sync_two_platforms(dovetail, project, tmp_path, free_port):
    assert [line.split()[1] for line in COMMANDS] == [
        *("new", "sandbox", "connect", "check", "sync", "run", "connect"),
    ]
    site = tmp_path / "site"
    site.mkdir()
    write_metadata(project / "pyproject.toml", site)  # as pip install -e . does
    paths = [str(site), str(project / "src"), os.environ.get("PYTHONPATH", "")]
    installed = {"PYTHONPATH": os.pathsep.join(paths), "HOME": str(tmp_path / "home")}
    dovetail.folder = project

    listed = dovetail.json("connectors", env=installed)["connectors"]
    acme = next(one for one in listed if one["platform"] == "acme")
    assert (acme["package"], acme["status"]) == ("dovetail-acme 0.1.0", "ready")

    port, records = free_port(3), 8
    sandbox = (*_command("sandbox"), "--port", port, "--records", records)
    _, served = dovetail.start(*sandbox, env=installed)
    connect = [one.replace("9400", str(port)) for one in _command("connect")]
    dovetail.run(*connect, env=installed)

    checked = dovetail.run(*_command("check"), env=installed).stdout
    assert "is right." in checked
    dovetail.run(*_command("sync"), env=installed, timeout=120)

    held = {one["platform"]: _emails(one["base_url"]) for one in served["platforms"]}
    assert held["acme"] == held["hubspot"]
    assert len(held["acme"]) > records


@pytest.mark.real_time
def test_the_test_of_the_page_passes(project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(project / "src")
    with offered_by(project / "pyproject.toml"):
        names = {"__name__": "page"}
        (block,) = [block for block in PYTHON if "async def test_" in block]
        exec(compile(block, "page", "exec"), names)  # noqa: S102 - our own page
        run(names["test_an_edit_survives_a_bad_day"]())
    for name in [name for name in sys.modules if name.startswith("dovetail_acme")]:
        del sys.modules[name]


def test_the_declaration_of_the_page_means_what_it_says(project, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(project / "src")
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    declaration = tmp_path / "service.yaml"
    declaration.write_text(block)
    assert yaml.safe_load(block)["integration"]["platforms"] == ["acme", "hubspot"]
    with offered_by(project / "pyproject.toml"):
        (service,) = load_program(declaration).services

    policies = service.integration.field_policies["contact"]
    assert dict(policies) == {"email": "manual-review", "job_title": "hubspot"}


def test_the_entry_points_of_the_page_are_those_of_the_project(project):
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)

    assert block in (project / "pyproject.toml").read_text()


def _command(name):
    """Return the arguments of a command on the page, without ``dovetail``."""
    return next(shlex.split(line)[1:] for line in COMMANDS if line.split()[1] == name)


def _emails(base_url):
    """Return the e-mail addresses that a platform holds, through its control endpoint."""
    from urllib.request import urlopen

    with urlopen(f"{base_url}/_sandbox/records/contacts") as answer:  # noqa: S310 - our loopback
        records = json.load(answer)["records"]
    return sorted(one["fields"].get("email") or "" for one in records)
