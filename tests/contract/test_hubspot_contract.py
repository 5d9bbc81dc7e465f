"""HubSpot keeps the contract of connectors."""

from dataclasses import replace
from functools import partial

from dovetail.connectors.hubspot import HubSpot
from dovetail.simulators.hubspot import HubSpotSimulator
from dovetail.simulators.hubspot.access import ALL_SCOPES
from dovetail.testing.contract import Bench, ConnectorContract, Sample

_PLACE = {
    "address": ["1 Rue de l'Église\nBâtiment B", None],
    "city": ["Łódź", None],
    "state": ["Île-de-France", None],
    "zip": ["01234", None],
    "country": ["日本", None],
}

SAMPLES = {
    "contacts": Sample(
        record=lambda n: {"email": f"c{n}@example.com", "firstname": f"Ada {n}"},
        text="firstname",
        values={
            "lastname": ["O'Neil-Ångström", None],
            "phone": ["+49 (30) 123-45", None],
            "mobilephone": ["+1 555 0100", None],
            "company": ["Smith & Sons <Ltd>", None],
            "jobtitle": ["مهندس", None],
            "email": ["someone.else+tag@example.org"],
            **_PLACE,
        },
        refused={"email": "no address"},
        custom_field={"name": "shoe_size"},
    ),
    "companies": Sample(
        record=lambda n: {"name": f"Company {n}", "domain": f"c{n}.example.com"},
        text="name",
        values={"phone": ["+49 30 1", None], "domain": ["other.example.org"], **_PLACE},
        custom_field={"name": "shoe_size"},
    ),
    "deals": Sample(
        record=lambda n: {
            "dealname": f"Deal {n}",
            "pipeline": "default",
            "dealstage": "contractsent",
        },
        text="dealname",
        values={
            "amount": ["9007199254740993.25", "0.10", "-1", None],
            "deal_currency_code": ["EUR", None],
            "dealstage": ["closedwon"],
            "closedate": ["2026-03-29", "2024-02-29", None],
        },
        refused={"amount": "a lot"},
        custom_field={"name": "shoe_size"},
    ),
    "tickets": Sample(
        record=lambda n: {
            "subject": f"Ticket {n}",
            "hs_pipeline": "0",
            "hs_pipeline_stage": "1",
        },
        text="subject",
        values={
            "content": ["It\nbroke; twice 😀", None],
            "hs_pipeline_stage": ["4"],
            "hs_ticket_priority": ["HIGH", None],
        },
        refused={"hs_ticket_priority": "PANIC"},
        custom_field={"name": "shoe_size"},
    ),
}


class TestHubSpot(ConnectorContract):
    def bench(self):
        return Bench(
            connector=HubSpot,
            simulator=HubSpotSimulator,
            samples=SAMPLES,
        )


class TestHubSpotWithoutKey(ConnectorContract):
    """Where the credentials may not add properties, creates are looked up by their values."""

    def bench(self):
        scopes = {scope for scope in ALL_SCOPES if ".schemas." not in scope}
        return Bench(
            connector=HubSpot,
            simulator=partial(HubSpotSimulator, scopes=scopes),
            samples={
                name: replace(SAMPLES[name], custom_field={}) for name in ("contacts", "deals")
            },
        )
