"""What a declaration is said to mean."""

from pathlib import Path

from dovetail.core import json
from dovetail.service.declaration import Section, Service, explain, load_services

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "declarations"
CONNECTORS = {"hubspot": {"contacts"}, "salesforce": {"contacts"}}


def sections(name: str) -> dict[str, Section]:
    (service,) = load_services(EXAMPLES / f"{name}.yaml")
    return {section.title: section for section in explain(service, connectors=CONNECTORS)}


def test_a_sync_is_explained_by_direction_time_and_connector():
    synced = sections("multi-platform-crm-sync")["What is synced"]

    assert synced.columns == ("Entity", "Direction", "When", "Runs with")
    assert synced.rows[0] == (
        "contacts",
        "both ways",
        "realtime: by webhook, with a poll every 1 minute behind it",
        "Salesforce, HubSpot",
    )
    assert synced.rows[1] == ("companies", "both ways", "batch, every 15 minutes", "none yet")


def test_conflicts_are_explained():
    conflicts = sections("multi-platform-crm-sync")["On a conflict"]

    assert "changed last wins" in conflicts.lines[1]


def test_each_mapping_is_a_table():
    mapping = sections("multi-platform-crm-sync")["Mapping of contact on Salesforce"]

    assert mapping.columns == ("Salesforce field", "contact field")
    assert ("FirstName", "first_name") in mapping.rows


def test_a_price_is_explained_by_examples():
    price = sections("multi-platform-crm-sync")["What it costs"]

    assert ("50,000 syncs", "USD 300.00") in price.rows
    assert ("1,000,000 syncs", "USD 1,450.00") in price.rows
    assert sections("payment-processing")["What it costs"].lines == (
        "USD 0.10 per transaction and 0.5% of its amount.",
    )


def test_what_no_engine_runs_is_said_plainly():
    crm = sections("multi-platform-crm-sync")["Not run in this version"]
    assert crm.lines == ("Declared and kept; no engine in this version runs it:",)
    assert ("companies, deals, tickets on HubSpot",) in crm.rows
    assert ("Zendesk (no connector)",) in crm.rows
    assert ("contacts on HubSpot",) not in crm.rows

    router = sections("event-router")["Not run in this version"]
    assert ("routing rules",) in router.rows
    assert ("workflows",) in sections("ecommerce-integration-hub")["Not run in this version"].rows
    assert ("campaigns",) in sections("marketing-automation-hub")["Not run in this version"].rows


def test_nothing_is_missing_when_every_engine_is_there():
    service = Service.create(
        name="Posts", platforms=["twitter"], pricing={"model": "per-post", "rate": 1}
    )
    titles = [
        section.title
        for section in explain(service, connectors={"twitter": {"posts"}}, engines={"metering"})
    ]

    assert "Not run in this version" not in titles


def test_nothing_is_said_of_connectors_when_they_are_not_known():
    service = Service.create(name="Posts", platforms=["twitter"])
    platforms = explain(service)[1]

    assert platforms.columns == ("Platform", "Name", "Kind")
    assert platforms.rows == (("Twitter", "twitter", "social"),)


def test_handlers_field_policies_and_deletes_are_explained():
    service = Service.create(
        name="Sync",
        integration={
            "platforms": ["hubspot"],
            "entities": ["contacts"],
            "syncMode": "inbound",
            "syncBy": "handlers",
            "deletes": "propagate",
            "fieldPolicies": {"contact": {"phone": "hubspot", "email": "prefer-internal"}},
        },
    )
    found = {section.title: section for section in explain(service, engines=())}

    assert found["What is synced"].lines == (
        "The handlers of the module do the syncing; the engine leaves these entities alone.",
        "A record that is deleted on one side is deleted on the others.",
    )
    assert found["What is synced"].rows[0][1] == "from the platforms to us"
    assert found["On a conflict"].rows == (
        ("contact", "phone", "hubspot", "the value of HubSpot wins"),
        ("contact", "email", "prefer-internal", "our value wins"),
    )
    assert found["Mapped by the connector"].rows == (("contacts", "HubSpot"),)
    assert found["Not run in this version"].rows == (("field policies",), ("propagating deletes",))


def test_every_example_is_explained_as_plain_data_of_even_tables():
    for path in EXAMPLES.iterdir():
        (service,) = load_services(path)
        for section in explain(service, connectors=CONNECTORS):
            assert section.lines or section.rows
            assert {len(row) for row in section.rows} <= {len(section.columns)}
            assert json.decode(json.encode(section.to_record()))["title"] == section.title
