"""Rotation of the master key: cut off anywhere, with processes that go on meanwhile."""

import json

import pytest
import sqlalchemy as sa

from dovetail.app.rotation import drop_unused, is_finished, rewrap_all
from dovetail.cli.main import run
from dovetail.core.key_file import KeyFile, new_key
from dovetail.core.secrets import SecretBox, sealed_under
from dovetail.errors import ConfigError
from dovetail.runtime.store.schema import credentials, metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports


class World:
    """A store with sealed credentials of some connections, and a key file."""

    async def open(self, tmp_path, connections=3):
        self.store = SqliteStore(tmp_path / "app.db", seeded_ports())
        await self.store.open()
        await self.store.migrate(metadata.create_all)
        self.file = KeyFile(tmp_path / "keys")
        self.box = SecretBox(self.file)
        for number in range(connections):
            await self.put(f"c{number}", f"token {number}")
        return self

    async def put(self, owner, token):
        values = {
            "connection_id": owner,
            "sealed": self.box.seal(token.encode(), owner),
            "updated_at": 7,
        }
        await self.store.write(lambda tx: tx.run(sa.insert(credentials).values(values)))

    async def sealed(self):
        rows = await self.store.read(lambda tx: tx.rows(sa.select(credentials)))
        return {row.connection_id: row for row in rows}


async def test_every_connection_is_moved_and_none_has_to_be_opened_anew(tmp_path):
    world = await World().open(tmp_path)
    world.file.add(new_key())

    done = await rewrap_all(world.store, world.box)

    assert (done.moved, done.total) == (3, 3)
    for owner, row in (await world.sealed()).items():
        assert sealed_under(row.sealed) == world.box.key_id
        assert world.box.open(row.sealed, owner) == f"token {owner[1:]}".encode()
        assert row.updated_at == 7
    assert (await rewrap_all(world.store, world.box)).moved == 0
    await world.store.close()


async def test_a_rotation_that_was_cut_off_goes_on(tmp_path):
    world = await World().open(tmp_path)
    world.file.add(new_key())
    first = (await world.sealed())["c0"].sealed
    moved = world.box.rewrap(first, "c0")
    change = sa.update(credentials).where(credentials.c.connection_id == "c0")
    await world.store.write(lambda tx: tx.run(change.values(sealed=moved)))

    assert not await is_finished(world.store, world.box)
    assert (await rewrap_all(world.store, world.box)).moved == 2
    assert await is_finished(world.store, world.box)
    await world.store.close()


async def test_a_key_is_dropped_only_when_it_seals_nothing(tmp_path):
    world = await World().open(tmp_path)
    world.file.add(new_key())

    assert await drop_unused(world.store, world.file) == 0
    await rewrap_all(world.store, world.box)
    assert await drop_unused(world.store, world.file) == 1

    assert len(KeyFile(world.file.path).keys()) == 1
    for owner, row in (await world.sealed()).items():
        assert SecretBox(KeyFile(world.file.path)).open(row.sealed, owner)
    await world.store.close()


async def test_credentials_under_a_lost_key_are_told(tmp_path):
    world = await World().open(tmp_path)

    with pytest.raises(ConfigError, match="connect the platform again"):
        await rewrap_all(world.store, SecretBox(b"x" * 32))
    await world.store.close()


def test_the_command_makes_a_key_moves_and_drops(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOVETAIL_SECRET_KEY", raising=False)
    monkeypatch.delenv("DOVETAIL_SECRET_KEY_FILE", raising=False)
    path = tmp_path / "dovetail.db"

    assert run(["secrets", "rotate"]) == 2
    path.touch()
    capsys.readouterr()
    assert run(["secrets", "rotate", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert run(["secrets", "rotate", "--drop-old", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)

    assert first["key"] != second["key"]
    assert second["dropped_keys"] == 2
    assert len((tmp_path / "dovetail.db.key").read_text().split()) == 1


def test_a_new_key_can_be_used(capsys):
    assert run(["secrets", "new-key"]) == 0

    SecretBox.from_base64(capsys.readouterr().out)
