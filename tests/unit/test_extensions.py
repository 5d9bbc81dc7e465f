"""What other packages add: found, loaded when it is used, and refused with a reason."""

import json
import sys
from contextlib import ExitStack, contextmanager

import pytest

from dovetail import Service
from dovetail.cli.main import run
from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.registry import connector_class, platforms
from dovetail.connectors.hubspot import HubSpot
from dovetail.errors import BrokenExtensionError, DeclarationError, UnknownPlatformError
from dovetail.service.platform_catalog import title_of
from dovetail.simulator_sdk.sandbox import simulated_platforms, simulator_class
from dovetail.simulators.hubspot import HubSpotSimulator
from dovetail.testing.extension import offered_by

GOOD = """
from dovetail.connector_sdk.auth import BearerToken
from dovetail.connector_sdk.base import Connector
from dovetail.simulator_sdk.base import Simulator

class Acme(Connector):
    platform = "acme"
    title = "Acme"
    base_url = "https://api.acme.example"
    auth = BearerToken()
    limits = ()
    resources = ()

class AcmeSimulator(Simulator):
    platform = "acme"
"""


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """Install, so to speak, packages that add connectors (and simulators) for the whole test."""
    monkeypatch.syspath_prepend(tmp_path)
    with ExitStack() as stack:

        @contextmanager
        def adding(package, code, group, name, value):
            (tmp_path / f"{package}.py").write_text(code)
            pyproject = tmp_path / f"{package}.toml"
            points = f'[project.entry-points."{group}"]\n{name} = "{package}:{value}"\n'
            pyproject.write_text(f'[project]\nname = "{package}"\nversion = "1.2"\n{points}')
            with offered_by(pyproject):
                yield
            sys.modules.pop(package, None)

        def add(package, code, group="dovetail.connectors", name="acme", value="Acme"):
            stack.enter_context(adding(package, code, group, name, value))

        yield add


def listed(capsys):
    """Return the exit code of ``dovetail connectors``, and its rows by name and status."""
    code = run(["connectors", "--json"])
    rows = json.loads(capsys.readouterr().out)["connectors"]
    return code, {(row["platform"], row["status"]): row for row in rows}


def test_a_connector_of_another_package_is_found_by_its_name(offered, capsys):
    offered("acme_one", GOOD)
    code, rows = listed(capsys)

    assert "acme" in platforms()
    assert issubclass(connector_class("acme"), Connector)
    assert code == 0
    assert rows["acme", "ready"]["package"] == "acme_one 1.2"
    assert rows["hubspot", "ready"]["package"] == "dovetail"


def test_it_is_imported_when_it_is_used_and_not_before(offered):
    offered("acme_lazy", GOOD)

    assert "acme" in platforms()
    assert "acme_lazy" not in sys.modules
    connector_class("acme")
    assert "acme_lazy" in sys.modules


def test_what_is_not_offered_any_more_is_unknown():
    with pytest.raises(UnknownPlatformError, match="dovetail new connector NAME"):
        connector_class("acme")


def test_a_simulator_of_another_package_is_served_with_ours(offered):
    offered("acme_sim", GOOD, "dovetail.simulators", value="AcmeSimulator")

    assert {"acme", "hubspot"} <= set(simulated_platforms())
    assert simulator_class("acme").platform == "acme"


def test_a_declaration_may_name_it(offered):
    with pytest.raises(DeclarationError, match="acme"):
        Service.create(name="CRM", integration={"platforms": ["acme", "hubspot"]})
    offered("acme_declared", GOOD)

    crm = Service.create(
        name="CRM",
        integration={
            "platforms": ["acme", "hubspot"],
            "entities": ["contacts"],
            "sync_mode": "bidirectional",
            "field_policies": {"contact": {"email": "acme"}},
        },
        mappings={"contact": {"acme": {"mail": "email"}}},
    )

    assert crm.platform_names == ("acme", "hubspot")
    assert crm.kind == "crm"
    assert title_of("acme") == "Acme"


@pytest.mark.parametrize(
    ("code", "value", "why"),
    [
        ("import nothing_of_that_name", "Acme", "ModuleNotFoundError: No module named 'nothing_"),
        ("raise OSError('on purpose')", "Acme", "OSError: on purpose"),
        (GOOD, "Missing", "has no attribute 'Missing'"),
        ("Acme = 3", "Acme", "is not a subclass of dovetail.connector_sdk.base.Connector"),
        (GOOD.replace('"acme"', '"acne"'), "Acme", "says platform = 'acne', and must say 'acme'"),
    ],
    ids=["import", "raises", "missing", "no connector", "other name"],
)
def test_a_broken_one_says_which_package_and_why(offered, capsys, code, value, why):
    offered("acme_broken", code, value=value)

    with pytest.raises(BrokenExtensionError) as caught:
        connector_class("acme")
    exit_code, rows = listed(capsys)

    assert why in caught.value.message
    assert caught.value.message.startswith("What acme_broken 1.2 adds as 'acme' cannot be used: ")
    assert exit_code == 1
    assert rows["acme", "broken"]["reason"] == caught.value.message
    assert ("hubspot", "ready") in rows


def test_the_name_of_a_built_in_platform_is_not_taken_over(offered, capsys):
    code = GOOD.replace('"acme"', '"hubspot"')
    offered("own_hubspot", code, name="hubspot")
    offered("own_sandbox", code, "dovetail.simulators", name="hubspot", value="AcmeSimulator")
    exit_code, rows = listed(capsys)

    assert connector_class("hubspot") is HubSpot
    assert simulator_class("hubspot") is HubSpotSimulator
    assert exit_code == 1
    assert "comes with Dovetail, which is used instead" in rows["hubspot", "refused"]["reason"]


def test_two_packages_with_one_name_are_both_refused(offered):
    offered("acme_here", GOOD)
    offered("acme_there", GOOD)

    with pytest.raises(BrokenExtensionError, match=r"acme_(here|there) 1\.2.*acme_(here|there)"):
        connector_class("acme")


def test_a_person_reads_why_a_connector_cannot_be_used(offered, capsys):
    offered("acme_told", "import nothing_of_that_name")
    code = run(["connectors"])
    told = capsys.readouterr()

    assert code == 1
    assert "broken" in told.out
    assert "Correct the package or uninstall it" in told.err.replace("\n", " ")


def test_a_broken_simulator_is_told_beside_its_connector(offered, capsys):
    offered("acme_half", GOOD)
    offered("acme_gone", GOOD, "dovetail.simulators", value="NoSimulator")
    exit_code, rows = listed(capsys)

    assert exit_code == 1
    assert "has no attribute 'NoSimulator'" in rows["acme", "broken"]["reason"]
    assert ("acme", "ready") not in rows


def test_a_broken_simulator_without_a_connector_is_told_too(offered, capsys):
    offered("acme_alone", "import nothing_of_that_name", "dovetail.simulators")
    exit_code, rows = listed(capsys)

    assert exit_code == 1
    assert rows["acme", "broken"]["package"] == "acme_alone 1.2"
    assert "No module named 'nothing_of_that_name'" in rows["acme", "broken"]["reason"]


def test_the_doctor_finds_it(offered, capsys, tmp_path):
    offered("acme_ill", "import nothing_of_that_name")
    code = run(["doctor", "--database", str(tmp_path / "none.db"), "--port", "0", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]

    assert code == 1
    assert [one["status"] for one in findings if one["name"] == "connector acme"] == ["problem"]
