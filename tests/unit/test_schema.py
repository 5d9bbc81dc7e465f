"""Migrations make exactly the tables that the code declares, once, whatever the start."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import dovetail.app
import dovetail.sync.schema
from dovetail.app.schema import HEAD, current_revision, upgrade
from dovetail.errors import EnvironmentInUseError
from dovetail.runtime.store.schema import metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports

VERSIONS = Path(dovetail.app.__file__).parent / "migrations" / "versions"


async def opened(path):
    store = SqliteStore(path, seeded_ports())
    await store.open()
    return store


async def test_the_migrated_schema_is_the_declared_one(tmp_path):
    assert dovetail.sync.schema.sync_links.name in metadata.tables
    store = await opened(tmp_path / "app.db")
    await store.migrate(upgrade)

    differences = await store.migrate(
        lambda connection: compare_metadata(MigrationContext.configure(connection), metadata)
    )

    assert differences == []
    await store.close()


def test_head_is_the_newest_file_and_numbers_are_unique():
    numbers = [
        found[1] for path in VERSIONS.glob("*.py") if (found := re.match(r"(\d+)_", path.name))
    ]
    assert len(numbers) == len(set(numbers))
    assert max(numbers) == HEAD


async def test_migrating_again_changes_nothing(tmp_path):
    store = await opened(tmp_path / "app.db")
    assert await store.migrate(upgrade) is None
    assert await store.migrate(upgrade) == HEAD
    await store.close()


async def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path):
    store = await opened(tmp_path / "app.db")

    def half(connection):
        upgrade(connection)
        raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError):
        await store.migrate(half)
    assert await store.migrate(current_revision) is None
    assert await store.migrate(upgrade) is None
    await store.close()


async def test_a_database_of_a_newer_version_is_refused(tmp_path):
    store = await opened(tmp_path / "app.db")
    await store.migrate(upgrade)
    await store.write(lambda tx: tx.run(sa.text("UPDATE alembic_version SET version_num = '9999'")))

    with pytest.raises(EnvironmentInUseError, match="9999"):
        await store.migrate(upgrade)
    await store.close()
