"""From declarations to plans: what a service says of an entity reaches the plan of it."""

from dovetail import Service
from dovetail.app.plans import Planner
from dovetail.app.schema import upgrade
from dovetail.connector_sdk.spec import Capability, Reference, Resource
from dovetail.connectors.hubspot import HubSpot
from dovetail.entities import InventoryLevel, Product
from dovetail.model.integration import Connection
from dovetail.runtime.store.sqlite import SqliteStore
from dovetail.testing.app import seeded_ports


def resource(name, entity, fields, **more):
    return Resource(
        name=name,
        entity=entity,
        path=name,
        key_field="sku",
        key_is_unique=True,
        modified_field="changed",
        fields=fields,
        read_batch=10,
        write_batch=10,
        consistency_lag_s=0.0,
        capabilities=frozenset(Capability),
        **more,
    )


class Shelves(HubSpot):
    """Holds products, and how many of each there are."""

    resources = (
        resource("products", Product, {"sku": "sku"}),
        resource(
            "inventory_levels",
            InventoryLevel,
            {"sku": "sku", "left": "available"},
            references={"product": Reference("custom.product", "products")},
        ),
    )

    async def known_fields(self, resource):
        return frozenset({"sku", "left", "product"})


class OneConnection:
    async def list(self):
        return [Connection(id="c1", business_id="acme", platform="hubspot", status="active")]

    async def connector(self, connection_id):
        return Shelves(None)


async def planned(**declared):
    service = Service.create(
        name="Stock",
        integration={
            "platforms": ["hubspot"],
            "entities": ["products", "inventory_levels"],
            "sync_mode": "bidirectional",
            "field_policies": {"inventory_level": {"available": "hubspot"}},
        },
        **declared,
    )
    ports = seeded_ports()
    store = SqliteStore(":memory:", ports)
    await store.open()
    await store.migrate(upgrade)
    try:
        found = await Planner([service], OneConnection(), store, ports.clock).build()
    finally:
        await store.close()
    (plan,) = found.plans
    (entity,) = [one for one in plan.entities if one.entity is InventoryLevel]
    return entity, found.notes


async def test_the_policies_of_an_entity_whose_name_is_two_words_are_in_its_plan():
    entity, _ = await planned()
    assert entity.policies == {"available": "hubspot"}


async def test_a_declared_mapping_of_it_gains_no_reference_that_it_does_not_name():
    mapping = {"sku": "sku", "left": "available"}
    entity, _ = await planned(mappings={"inventory_level": {"hubspot": mapping}})
    (spoke,) = entity.spokes
    assert spoke.fields == mapping
    assert spoke.references == {}


async def test_without_a_mapping_the_reference_is_synced():
    entity, _ = await planned()
    (spoke,) = entity.spokes
    assert spoke.references == {"custom.product": "product"}


async def test_a_note_names_the_mapping_as_it_is_written():
    mapping = {"sku": "sku", "lft": "available"}
    _, notes = await planned(mappings={"inventory_level": {"hubspot": mapping}})
    assert any("out of mappings.inventory_level.hubspot." in one for one in notes)
