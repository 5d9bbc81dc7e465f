"""A platform of the user's own beside ours, and a package of it that breaks."""

import sys

import pytest

from dovetail import Service
from dovetail.cli.scaffold import Project, write_project
from dovetail.cli.scaffold_auth import AUTHS
from dovetail.cli.scaffold_entity import CONTACT
from dovetail.errors import BrokenExtensionError
from dovetail.testing.extension import offered_by
from dovetail.testing.sandbox import sandboxed_app

CRM = {"entities": ["contacts"], "sync_mode": "bidirectional"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return the pyproject.toml of a connector, and one that names a module which is not there."""
    folder = tmp_path / "project"
    write_project(Project("acme", "Acme", AUTHS["token"], (CONTACT,), "0.1.0"), folder)
    good, broken = folder / "pyproject.toml", tmp_path / "broken.toml"
    text = good.read_text().replace("dovetail_acme.connector:", "dovetail_acme.gone:")
    broken.write_text(text.replace("0.1.0", "0.2.0", 1))
    monkeypatch.syspath_prepend(folder / "src")
    yield good, broken
    for name in [name for name in sys.modules if name.startswith("dovetail_acme")]:
        del sys.modules[name]


async def names(world, platform, field):
    return [one["fields"].get(field) for one in await world.records(platform)]


async def test_three_platforms_agree_and_nothing_is_lost_while_a_package_is_broken(
    tmp_path, project
):
    good, broken = project
    platforms = ("acme", "hubspot", "salesforce")
    with offered_by(good):
        crm = Service.create(name="Three", integration={**CRM, "platforms": list(platforms)})
        database = tmp_path / "app.db"
        async with sandboxed_app(crm, platforms=platforms, records=0, database=database) as world:
            await world.edit("acme", None, given_name="Ada", email="a@example.com", family_name="B")
            await world.settle(300)
            assert await names(world, "salesforce", "FirstName") == ["Ada"]

            # To leave Acme out would let the sides part; a deployment that cannot sync it ends.
            with (
                offered_by(broken),
                pytest.raises(BrokenExtensionError, match=r"dovetail_acme\.gone"),
            ):
                await world.restart()
            (theirs,) = await world.records("hubspot")
            await world.edit("hubspot", theirs["id"], firstname="Augusta")
            await world.restart()
            await world.settle(300)

            assert await names(world, "salesforce", "FirstName") == ["Augusta"]
            assert await names(world, "acme", "given_name") == ["Augusta"]


async def test_a_program_that_does_not_use_a_broken_package_runs(tmp_path, project):
    good, broken = project
    platforms = ("acme", "hubspot", "salesforce")
    crm = Service.create(name="Two", integration={**CRM, "platforms": ["hubspot", "salesforce"]})
    with offered_by(good):
        database = tmp_path / "app.db"
        async with sandboxed_app(crm, platforms=platforms, records=0, database=database) as world:
            with offered_by(broken):
                await world.restart()
                await world.app.subscribe()
                await world.edit(
                    "hubspot", None, firstname="Ada", lastname="B", email="a@b.example"
                )
                await world.settle(300)

                assert await names(world, "salesforce", "FirstName") == ["Ada"]
