"""Finding our records by natural key: the field's index serves it, however many there are."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from dovetail.model.crm import Company, Contact
from dovetail.runtime.record_table import ensure_indexes, insert_records
from dovetail.runtime.store.schema import metadata
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.sync import schema  # noqa: F401 - its tables belong to the metadata
from dovetail.sync.hub import find_by_keys
from dovetail.testing.app import IN_MEMORY, START, seeded_ports

TENANT = "acme"


@asynccontextmanager
async def a_store():
    made = SqliteStore(IN_MEMORY, seeded_ports())
    await made.open()
    await made.migrate(metadata.create_all)
    await made.write(lambda tx: ensure_indexes(tx, [Contact, Company]))
    try:
        yield made
    finally:
        await made.close()


def people(*emails):
    return [
        Contact(id=f"c{number}", business_id=TENANT, email=email)
        for number, email in enumerate(emails)
    ]


async def test_a_record_without_an_identity_is_found_the_oldest_of_several():
    made = people("ada@x.com", "bob@x.com", "ada@x.com")
    keys = ["ada@x.com", "bob@x.com", "eve@x.com"]
    async with a_store() as store:
        await store.write(lambda tx: insert_records(tx, made, START))
        found = await store.read(lambda tx: find_by_keys(tx, "i", TENANT, Contact, keys))

    assert found == {"ada@x.com": "c0", "bob@x.com": "c1"}


@pytest.mark.parametrize(
    ("entity", "index"), [(Contact, "contact_email"), (Company, "company_domain")]
)
async def test_no_search_goes_through_all_records(entity, index):
    def plans(tx):
        asked = []

        class Recording:
            json_field = tx.json_field

            def rows(self, statement, params=None):
                asked.append(statement)
                return tx.rows(statement, params) if params else tx.rows(statement)

        find_by_keys(Recording(), "i", TENANT, entity, ["a@x.com", "b@x.com"])
        return [plan_of(tx, one) for one in asked]

    async with a_store() as store:
        identities, records = await store.read(plans)

    assert "ux_sync_identities_key" in identities
    assert f"ix_records_{index}" in records


def plan_of(tx, statement):
    connection = tx._connection
    compiled = statement.compile(
        dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
    )
    raw = connection.connection.cursor()
    raw.execute(f"EXPLAIN QUERY PLAN {compiled}", tuple(compiled.params.values()))
    return " ".join(str(row) for row in raw.fetchall())
