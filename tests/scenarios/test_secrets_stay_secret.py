"""Whatever a run writes (database, log, answers, events), no credential can be read in it."""

import sqlite3

import pytest
import structlog

from dovetail import Service
from dovetail.core.log import configure_logging
from dovetail.errors import DovetailError
from dovetail.testing.sandbox import sandboxed_app

crm = Service.create(
    name="CRM sync",
    type="automation",
    subtype="integration",
    integration={
        "platforms": ["hubspot", "salesforce"],
        "sync_mode": "bidirectional",
        "entities": ["contacts"],
        "conflict_resolution": "last-write-wins",
        "schedule": {"realtime": ["contacts"]},
    },
)


@pytest.fixture
def logged(capfd):
    """Log everything, at the finest level and as JSON, where capfd finds it."""
    before = structlog.get_config()
    configure_logging("debug", json_lines=True)
    yield capfd
    structlog.configure(**before)


def dump_of(path):
    with sqlite3.connect(path) as connection:
        return "\n".join(connection.iterdump())


def files_in(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".key")
    }


def secrets_of(world):
    """Return the credentials that were given, and those that tokens were exchanged for."""
    found = set()
    for simulator in world.simulators.values():
        open_facts = {"app_id", "instance_url", "client_id"}
        found |= {
            value
            for name, value in simulator.credentials.items()
            if name not in open_facts and len(value) > 6
        }
        if len(simulator.webhook_secret or "") > 6:
            found.add(simulator.webhook_secret)
    return found


async def log_in_for_itself(world):
    """Connect Salesforce once more, with tokens that are exchanged and can be renewed."""
    simulator = world.simulators["salesforce"]
    given = {name: simulator.credentials[name] for name in ("client_id", "client_secret")} | {
        "grant": "client_credentials"
    }
    record = await world.app.connections.add(
        platform="salesforce",
        business_id="another",
        secrets=given,
        base_url=simulator.base_url,
    )
    opened = await world.app.connections.open(record.id)
    before = opened.keeper.credentials["access_token"]
    await opened.keeper.renew(opened.keeper.credentials)
    return {before, opened.keeper.credentials["access_token"]}


async def test_no_credential_can_be_read_in_what_a_run_writes(tmp_path, logged):
    shown = []
    async with sandboxed_app(crm, records=12, database=tmp_path / "app.db") as world:
        secrets = secrets_of(world) | await log_in_for_itself(world)
        await world.settle()
        person = (await world.records("hubspot"))[0]
        await world.edit("hubspot", person["id"], city="Byronville")
        await world.settle()
        for platform, simulator in world.simulators.items():
            # Refused calls say why, with the answer of the platform in them.
            with pytest.raises(DovetailError) as caught:
                await world.app.connections.add(
                    platform=platform,
                    business_id="x",
                    secrets={**simulator.credentials, "access_token": "wrong-token-12345"},
                    base_url=simulator.base_url,
                )
            shown.append(str(caught.value.to_record()))
            shown.append(str(caught.value.__cause__))
        shown.append(str(await world.app.status()))
        shown.append(repr(world.app.settings) + repr(world.app.connections.__dict__))
        dump = dump_of(tmp_path / "app.db")
    out, err = logged.readouterr()

    assert len(secrets) >= 8
    written = "\n".join([dump, out, err, *shown])
    assert "tokens_renewed" in err, "the log was seen"
    assert "Byronville" in dump, "the database was seen"
    found = [secret for secret in (*secrets, "wrong-token-12345") if secret in written]
    assert not found
    for name, content in files_in(tmp_path).items():
        assert not [secret for secret in secrets if secret.encode() in content], name
