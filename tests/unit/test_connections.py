"""Connections: tested before they are kept, sealed, renewed while a process runs."""

import pytest

from dovetail.app.connections import Connections
from dovetail.core.secrets import SecretBox
from dovetail.errors import AuthenticationError, MissingCredentialError, UnknownPlatformError
from dovetail.runtime.store.schema import metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.simulator_sdk.sandbox import build_simulators
from dovetail.testing.app import seeded_ports
from dovetail.testing.asgi import AsgiTransport

URL = "http://hubspot.test"


class World:
    """A store, a HubSpot, and two processes' views of the same connections."""

    async def open(self, tmp_path):
        transport = AsgiTransport({})
        self.ports = seeded_ports(0, transport)
        (self.hubspot,) = build_simulators(
            ("hubspot",), clock=self.ports.clock, transport=transport, records=3, seed=1
        )
        self.hubspot.base_url = URL
        transport.add(URL, self.hubspot.app)
        self.store = SqliteStore(tmp_path / "app.db", self.ports)
        await self.store.open()
        await self.store.migrate(metadata.create_all)
        box = SecretBox(b"k" * 32)
        self.here = Connections(self.store, box, self.ports)
        self.there = Connections(self.store, box, self.ports)
        return self

    async def connect(self, connections, **changes):
        secrets = {**self.hubspot.credentials, **changes}
        return await connections.add(
            platform="hubspot", business_id="acme", secrets=secrets, base_url=URL
        )


async def test_a_connection_is_tested_before_it_is_kept(tmp_path):
    world = await World().open(tmp_path)

    with pytest.raises(AuthenticationError):
        await world.connect(world.here, access_token="pat-na1-wrong")
    with pytest.raises(UnknownPlatformError, match="hubspot"):
        await world.here.add(platform="hubspott", business_id="acme", secrets={})

    assert await world.here.list() == []
    await world.store.close()


async def test_connecting_the_same_account_again_renews_it(tmp_path):
    world = await World().open(tmp_path)

    first = await world.connect(world.here)
    second = await world.connect(world.here)

    assert first.id == second.id
    assert len(await world.here.list("acme")) == 1
    await world.store.close()


async def test_credentials_that_another_process_renewed_are_taken_over(tmp_path):
    world = await World().open(tmp_path)
    connection = await world.connect(world.here)
    before = await world.here.connector(connection.id)
    await world.here.forget_renewed()
    assert await world.here.connector(connection.id) is before

    await world.ports.clock.sleep(1)
    await world.connect(world.there, client_id="another")
    await world.here.forget_renewed()

    after = await world.here.connector(connection.id)
    assert after.api.credentials["client_id"] == "another"
    await world.store.close()


async def test_a_removed_connection_is_gone_and_its_secrets_too(tmp_path):
    world = await World().open(tmp_path)
    connection = await world.connect(world.here)
    await world.here.connector(connection.id)

    await world.there.remove(connection.id)
    await world.here.forget_renewed()

    with pytest.raises(MissingCredentialError, match="dovetail connect"):
        await world.here.connector(connection.id)
    await world.store.close()


async def test_nothing_stored_shows_a_secret(tmp_path):
    world = await World().open(tmp_path)
    await world.connect(world.here)
    await world.store.close()

    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for value in world.hubspot.credentials.values():
        assert value.encode() not in stored
