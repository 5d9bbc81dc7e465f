"""The declarations of the product's description: as Python, as YAML, and round trips."""

import copy
import json
import math
from datetime import timedelta
from pathlib import Path

import pytest

from dovetail.entities import Company, Contact, Deal, Ticket
from dovetail.service.declaration import Service, ServiceType, load_services

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "declarations"

VOLUME = [
    {"min": 0, "max": 10000, "rate": 0.01},
    {"min": 10001, "max": 100000, "rate": 0.005},
    {"min": 100001, "max": math.inf, "rate": 0.001},
]

DECLARATIONS = {
    "multi-platform-crm-sync": {
        "name": "Multi-Platform CRM Sync",
        "type": ServiceType.AUTOMATION,
        "subtype": "integration",
        "integration": {
            "platforms": ["salesforce", "hubspot", "zendesk", "intercom"],
            "sync_mode": "bidirectional",
            "entities": ["contacts", "companies", "deals", "tickets"],
            "conflict_resolution": "last-write-wins",
            "schedule": {
                "realtime": ["contacts", "tickets"],
                "batch": ["companies", "deals"],
                "batch_interval": "15-minutes",
            },
        },
        "mappings": {
            "contact": {
                "salesforce": {
                    "FirstName": "first_name",
                    "LastName": "last_name",
                    "Email": "email",
                    "Phone": "phone",
                    "Company": "company_name",
                },
                "hubspot": {
                    "firstname": "first_name",
                    "lastname": "last_name",
                    "email": "email",
                    "phone": "phone",
                    "company": "company_name",
                },
            },
        },
        "pricing": {
            "model": "per-sync",
            "base_rate": 0.01,
            "volume": VOLUME,
            "subscription": {
                "tiers": [
                    {"name": "Basic", "price": 99.0, "includes": 10000, "platforms": 2},
                    {"name": "Professional", "price": 299.0, "includes": 100000, "platforms": 5},
                    {
                        "name": "Enterprise",
                        "price": 999.0,
                        "includes": math.inf,
                        "platforms": math.inf,
                    },
                ],
            },
        },
    },
    "ecommerce-integration-hub": {
        "name": "E-commerce Integration Hub",
        "type": ServiceType.AUTOMATION,
        "subtype": "integration",
        "integration": {
            "platforms": ["shopify", "woocommerce", "magento", "bigcommerce"],
            "workflows": ["order-sync", "inventory-sync", "product-sync", "customer-sync"],
        },
        "pricing": {
            "model": "subscription",
            "tiers": [
                {
                    "name": "Starter",
                    "price": 149.0,
                    "includes": {"stores": 1, "orders": 1000, "products": 500},
                },
                {
                    "name": "Growth",
                    "price": 399.0,
                    "includes": {"stores": 5, "orders": 10000, "products": 5000},
                },
                {
                    "name": "Enterprise",
                    "price": 999.0,
                    "includes": {"stores": None, "orders": "unlimited", "products": math.inf},
                },
            ],
        },
    },
    "payment-processing": {
        "name": "Payment Processing Integration",
        "type": ServiceType.AUTOMATION,
        "subtype": "integration",
        "integration": {
            "processors": ["stripe", "paypal", "square", "braintree"],
            "features": [
                "payment-processing",
                "subscription-management",
                "invoice-generation",
                "refund-processing",
            ],
            "routing": "intelligent",
        },
        "pricing": {"model": "per-transaction", "rate": 0.1, "percentage": 0.005},
    },
    "event-router": {
        "name": "Multi-System Event Router",
        "type": ServiceType.AUTOMATION,
        "subtype": "integration",
        "routing": {
            "rules": [
                {
                    "id": "customer-events",
                    "source": ["crm", "support", "billing"],
                    "destination": ["analytics", "marketing", "data-warehouse"],
                    "events": ["customer.created", "customer.updated"],
                    "transform": True,
                },
                {
                    "id": "order-events",
                    "source": ["ecommerce"],
                    "destination": ["fulfillment", "accounting", "inventory"],
                    "events": ["order.created", "order.cancelled"],
                    "transform": True,
                },
            ],
        },
        "pricing": {"model": "per-event", "rate": 0.001, "minimum_charge": 10.0},
    },
    "marketing-automation-hub": {
        "name": "Marketing Automation Hub",
        "type": ServiceType.AUTOMATION,
        "subtype": "integration",
        "integration": {
            "platforms": ["mailchimp", "hubspot", "marketo", "activecampaign"],
            "campaigns": [
                "email-campaigns",
                "drip-campaigns",
                "lead-nurturing",
                "customer-retention",
            ],
        },
        "pricing": {"model": "per-contact", "rate": 0.02, "campaigns": 0.1},
    },
    "crm-sync-pricing": {
        "name": "CRM Sync",
        "pricing": {"model": "per-sync", "rate": 0.01, "volume": VOLUME},
    },
    "platform-connector-pricing": {
        "name": "Platform Connector",
        "pricing": {
            "model": "per-integration",
            "setup": 100.0,
            "monthly": 50.0,
            "additional_platforms": 25.0,
        },
    },
    "integration-hub-pricing": {
        "name": "Integration Hub",
        "pricing": {
            "model": "subscription",
            "tiers": [
                {
                    "name": "Starter",
                    "price": 99.0,
                    "includes": {"platforms": 2, "syncs": 10000, "api_calls": 50000},
                },
                {
                    "name": "Professional",
                    "price": 299.0,
                    "includes": {"platforms": 5, "syncs": 100000, "api_calls": 500000},
                },
            ],
        },
    },
    "accounting-sync": {
        "name": "Accounting Sync",
        "platforms": ["quickbooks", "xero", "freshbooks"],
        "pricing": {"model": "per-transaction", "rate": 0.25},
    },
    "support-platform-sync": {
        "name": "Support Platform Sync",
        "platforms": ["zendesk", "intercom", "freshdesk"],
        "pricing": {"model": "per-ticket", "rate": 0.1},
    },
    "social-media-manager": {
        "name": "Social Media Manager",
        "platforms": ["twitter", "linkedin", "facebook", "instagram"],
        "pricing": {"model": "per-post", "rate": 0.05},
    },
}

KINDS = {
    "multi-platform-crm-sync": "crm",
    "ecommerce-integration-hub": "ecommerce",
    "payment-processing": "payment",
    "event-router": "routing",
    "marketing-automation-hub": "marketing",
    "crm-sync-pricing": "generic",
    "platform-connector-pricing": "generic",
    "integration-hub-pricing": "generic",
    "accounting-sync": "accounting",
    "support-platform-sync": "support",
    "social-media-manager": "social",
}


def crm() -> Service:
    return Service.create(**DECLARATIONS["multi-platform-crm-sync"])


def test_there_is_an_example_file_for_each_declaration():
    assert {path.stem for path in EXAMPLES.iterdir()} == set(DECLARATIONS)
    assert len(DECLARATIONS) == 11


@pytest.mark.parametrize("name", DECLARATIONS)
def test_python_and_camel_case_yaml_declare_the_same(name):
    (from_yaml,) = load_services(EXAMPLES / f"{name}.yaml")

    assert Service.create(**DECLARATIONS[name]) == from_yaml


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_service_survives_being_dumped_and_declared_again(name):
    service = Service.create(**DECLARATIONS[name])

    assert Service.create(**service.model_dump()) == service
    assert Service.create(**json.loads(service.model_dump_json())) == service


@pytest.mark.parametrize("name", DECLARATIONS)
def test_a_service_can_be_copied_and_hashed(name):
    service = Service.create(**DECLARATIONS[name])

    assert {copy.deepcopy(service), copy.copy(service)} == {service}


@pytest.mark.parametrize("name", DECLARATIONS)
def test_the_kind_follows_from_what_is_declared(name):
    assert Service.create(**DECLARATIONS[name]).kind == KINDS[name]


def test_a_service_cannot_be_changed():
    service = crm()

    with pytest.raises(ValueError, match="frozen"):
        service.name = "another"
    with pytest.raises(TypeError):
        service.mappings["contact"] = {}


def test_a_service_knows_its_platforms_wherever_they_are_declared():
    assert crm().platform_names == ("salesforce", "hubspot", "zendesk", "intercom")
    payments = Service.create(**DECLARATIONS["payment-processing"])
    assert payments.platform_names == ("stripe", "paypal", "square", "braintree")
    social = Service.create(**DECLARATIONS["social-media-manager"])
    assert social.platform_names == ("twitter", "linkedin", "facebook", "instagram")


def test_a_service_knows_what_is_synced_and_when():
    synced = [(s.name, s.entity, s.mode, s.interval) for s in crm().entities_synced]

    assert synced == [
        ("contacts", Contact, "realtime", timedelta(minutes=1)),
        ("companies", Company, "batch", timedelta(minutes=15)),
        ("deals", Deal, "batch", timedelta(minutes=15)),
        ("tickets", Ticket, "realtime", timedelta(minutes=1)),
    ]


def test_entities_are_realtime_unless_the_schedule_says_batch():
    service = Service.create(
        name="Sync",
        integration={
            "platforms": ["hubspot"],
            "entities": ["contact", "inventoryLevels"],
            "schedule": {"batch": ["contacts"], "pollInterval": "30s"},
        },
    )

    synced = [(s.name, s.mode, s.interval) for s in service.entities_synced]
    assert synced == [
        ("contacts", "batch", timedelta(minutes=15)),
        ("inventory_levels", "realtime", timedelta(seconds=30)),
    ]


def test_what_is_not_declared_has_its_default():
    service = Service.create(name="Sync", integration={"platforms": ["hubspot"]})

    assert service.integration.sync_mode is None
    assert service.integration.conflict_resolution == "last-write-wins"
    assert service.integration.sync_by == "engine"
    assert service.integration.deletes == "keep"
    assert (service.syncs_inbound, service.syncs_outbound) == (True, True)


@pytest.mark.parametrize(
    ("mode", "inbound", "outbound"),
    [("bidirectional", True, True), ("inbound", True, False), ("outbound", False, True)],
)
def test_the_sync_mode_says_which_ways_values_flow(mode, inbound, outbound):
    service = Service.create(name="Sync", integration={"syncMode": mode})

    assert (service.syncs_inbound, service.syncs_outbound) == (inbound, outbound)


def test_a_field_may_have_a_policy_of_its_own():
    service = Service.create(
        name="Sync",
        integration={
            "platforms": ["hubspot"],
            "entities": ["contacts"],
            "fieldPolicies": {
                "contacts": {"phone": "hubspot", "jobTitle": "prefer-non-blank"},
            },
        },
    )

    assert service.integration.field_policies == {
        "contact": {"phone": "hubspot", "job_title": "prefer-non-blank"}
    }


def test_keys_that_are_names_stay_as_written():
    service = Service.create(
        name="Names",
        platforms=["hubspot"],
        mappings={"contact": {"hubspot": {"hs_leadStatus": "custom.leadStatus"}}},
        pricing={
            "model": "subscription",
            "tiers": [{"name": "A", "price": 1, "includes": {"api_calls": 1, "apiCalls": 2}}],
        },
    )

    assert service.mappings.contact.hubspot.pairs == {"hs_leadStatus": "custom.leadStatus"}
    assert service.pricing.tiers[0].includes == {"api_calls": 1, "apiCalls": 2}
