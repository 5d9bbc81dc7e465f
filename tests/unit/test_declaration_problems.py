"""What is wrong with a declaration is told with its path, what is allowed and what was meant."""

import copy
from decimal import Decimal

import pytest
from pydantic import ValidationError

from dovetail.errors import DeclarationError
from dovetail.service.declaration import IntegrationConfig, Service

VALID = {
    "name": "Sync",
    "integration": {
        "platforms": ["salesforce", "hubspot"],
        "entities": ["contacts"],
        "schedule": {"realtime": ["contacts"]},
    },
    "mappings": {"contact": {"hubspot": {"firstname": "firstName"}}},
    "pricing": {
        "model": "per-sync",
        "rate": "0.01",
        "volume": [{"min": 0, "max": 100, "rate": "0.01"}, {"min": 101, "rate": "0.005"}],
    },
}


def problems(data) -> list[dict]:
    with pytest.raises(DeclarationError) as caught:
        Service.create(**data)
    assert all(problem["message"] in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def only_problem(data) -> dict:
    (problem,) = problems(data)
    return problem


def changed(path: str, value: object) -> dict:
    """The valid declaration with one value set, at a path such as ``pricing.volume.0.min``."""
    data = copy.deepcopy(VALID)
    *way, last = path.split(".")
    place = data
    for key in way:
        place = place[int(key)] if key.isdigit() else place.setdefault(key, {})
    place[int(last) if last.isdigit() else last] = value
    return data


def test_the_declaration_that_these_tests_break_is_valid():
    assert Service.create(**VALID).name == "Sync"


ORDER_ZIP = "mappings.order.hubspot.zip"
ADDRESS_ZIP = "shipping_address.postal_code"
POLICIES = "integration.field_policies.contact."

MISSPELT = [
    ("nname", "x", "nname", "name"),
    ("integration.platphorms", [], "integration.platphorms", "platforms"),
    ("integration.syncMod", "inbound", "integration.syncMod", "sync_mode"),
    ("integration.schedule.batchIntervall", "1m", "", "batch_interval"),
    ("pricing.volum", [], "pricing.volum", "volume"),
    ("pricing.volume.0.maximum", 1, "pricing.volume[0].maximum", "max"),
    ("pricing.subscription", {"tier": [], "tiers": []}, "pricing.subscription.tier", "tiers"),
    ("routing", {"rule": [], "rules": []}, "routing.rule", "rules"),
    ("integration.platforms.1", "hubsport", "integration.platforms[1]", "hubspot"),
    ("integration.platforms.0", "SalesForce", "integration.platforms[0]", "salesforce"),
    ("platforms", ["zendsk"], "platforms[0]", "zendesk"),
    ("integration.processors", ["strype"], "integration.processors[0]", "stripe"),
    ("integration.entities", ["contacts", "compnies"], "integration.entities[1]", "companies"),
    ("integration.syncMode", "bi-directional", "integration.syncMode", "bidirectional"),
    ("integration.conflictResolution", "last_write_win", "", "last-write-wins"),
    ("integration.deletes", "propagat", "integration.deletes", "propagate"),
    ("integration.sync_by", "handler", "integration.sync_by", "handlers"),
    ("integration.routing", "intellgent", "integration.routing", "intelligent"),
    ("type", "automaton", "type", "automation"),
    ("pricing.model", "per_sync", "pricing.model", "per-sync"),
    ("mappings.contcat", {}, "mappings.contcat", "contact"),
    ("mappings.contact.hubsport", {}, "mappings.contact.hubsport", "hubspot"),
    ("mappings.contact.hubspot.x", "lastNam", "mappings.contact.hubspot.x", "last_name"),
    ("mappings.contact.hubspot.x", "custim.vip", "mappings.contact.hubspot.x", "custom.vip"),
    ("integration.schedule.batchInterval", "15-minuts", "", "minutes"),
    ("mappings.contact.hubspot.x", "custom", "", "custom.<name>"),
    ("mappings.contact.hubspot.x", "emial.domain", "", "email"),
    ("mappings.order", {"hubspot": {"zip": "shipingAddress.postalCode"}}, ORDER_ZIP, ADDRESS_ZIP),
    ("integration.field_policies.contact", {"phne": "hubspot"}, POLICIES + "phne", "phone"),
    ("integration.field_policies.contact", {"phone": "hubspt"}, POLICIES + "phone", "hubspot"),
    ("integration.field_policies.cntact", {}, "", "contacts"),
]


@pytest.mark.parametrize(("path", "value", "where", "meant"), MISSPELT)
def test_a_misspelt_name_is_told_with_the_closest_that_exists(path, value, where, meant):
    found = problems(changed(path, value))

    assert (where or path, meant) in [(problem["path"], problem["closest"]) for problem in found]


def test_a_wrong_name_is_told_with_all_that_are_allowed():
    problem = only_problem(changed("integration.conflictResolution", "coin-toss"))

    assert problem == {
        "path": "integration.conflictResolution",
        "message": "'coin-toss' is not a conflict policy.",
        "allowed": ["last-write-wins", "manual-review", "prefer-external", "prefer-internal"],
        "closest": None,
    }


def test_a_pricing_model_that_does_not_exist_shows_those_that_do():
    problem = only_problem(changed("pricing", {"model": "per-seat", "rate": 1}))

    assert problem["path"] == "pricing.model"
    assert len(problem["allowed"]) == 8


def test_the_path_is_spelled_as_the_declaration_spells_it():
    camel = only_problem(changed("integration", {"syncMode": "up"}) | {"mappings": {}})
    snake = only_problem(changed("integration", {"sync_mode": "up"}) | {"mappings": {}})

    assert camel["path"] == "integration.syncMode"
    assert snake["path"] == "integration.sync_mode"


WRONG = [
    ("name", None, "name", "must be a text"),
    ("name", "  ", "name", "must be a text"),
    ("subtype", 3, "subtype", "must be a text"),
    ("integration", "hubspot", "integration", "must be a table"),
    ("integration.platforms", "hubspot", "integration.platforms", "must be a list"),
    ("integration.platforms.1", 7, "integration.platforms[1]", "must be a text"),
    ("integration.platforms.1", "salesforce", "integration.platforms[1]", "listed twice"),
    ("platforms", ["hubspot"], "integration.platforms[1]", "listed under platforms already"),
    ("integration.entities", ["contacts", "contact"], "integration.entities[1]", "listed twice"),
    ("integration.routing", "intelligent", "integration.routing", "no processors"),
    ("integration.schedule.realtime", ["deals"], "integration.schedule.realtime[0]", "not among"),
    ("integration.schedule.batch", ["contact"], "integration.schedule.batch[0]", "in realtime"),
    ("integration.schedule.pollInterval", "0s", "integration.schedule.pollInterval", "more than"),
    ("integration.schedule.pollInterval", "20ms", "", "at least one second"),
    ("integration.schedule.batchInterval", "*/15 * * * *", "", "is not a duration"),
    ("integration.schedule.batchInterval", True, "", "is not a duration"),
    ("integration.field_policies", {"deal": {"name": "hubspot"}}, "", "not among the entities"),
    ("integration.field_policies", {"contact": "hubspot"}, "", "must be a table"),
    ("integration.field_policies", [], "integration.field_policies", "must be a table"),
    ("mappings", [], "mappings", "must be a table"),
    ("mappings.contact", [], "mappings.contact", "must be a table"),
    ("mappings.contacts", {}, "mappings.contacts", "mapped twice"),
    ("mappings.contact.hubspot", [], "mappings.contact.hubspot", "must be a table"),
    ("mappings.contact.stripe", {}, "mappings.contact.stripe", "not a platform of this service"),
    ("mappings.contact.hubspot.x", 3, "mappings.contact.hubspot.x", "must name a field"),
    ("mappings.contact.hubspot.x", "custom", "mappings.contact.hubspot.x", "not a field"),
    ("mappings.contact.hubspot.x", "business_id", "mappings.contact.hubspot.x", "not a field"),
    ("mappings.contact.hubspot.x", "email.domain", "mappings.contact.hubspot.x", "not a field"),
    ("mappings.contact.hubspot.x", "firstName", "mappings.contact.hubspot.x", "both mapped"),
    ("pricing", 3, "pricing", "must be a table"),
    ("pricing", {"rate": 1}, "pricing.model", "is missing"),
    ("pricing", {"model": "per-sync"}, "pricing.rate", "is missing"),
    ("pricing", {"model": "per-event"}, "pricing.rate", "is missing"),
    ("pricing", {"model": "per-transaction"}, "pricing.rate", "is missing"),
    ("pricing", {"model": "per-integration"}, "pricing.setup", "is missing"),
    ("pricing", {"model": "subscription", "tiers": []}, "pricing.tiers", "is empty"),
    ("pricing.rate", -0.01, "pricing.rate", "must not be negative"),
    ("pricing.rate", "1 cent", "pricing.rate", "must be an amount"),
    ("pricing.rate", "NaN", "pricing.rate", "must be an amount"),
    ("pricing.rate", float("inf"), "pricing.rate", "must be an amount"),
    ("pricing.rate", True, "pricing.rate", "must be an amount"),
    ("pricing.rate", "1e999999", "pricing.rate", "digits"),
    ("pricing.rate", "1e-999999", "pricing.rate", "digits"),
    ("pricing.baseRate", "0.02", "pricing.baseRate", "mean the same"),
    ("pricing.currency", "dollars", "pricing.currency", "currency code"),
    ("pricing.volume.0.max", "many", "pricing.volume[0].max", "must be a whole number"),
    ("pricing.volume.0.max", 99.5, "pricing.volume[0].max", "must be a whole number"),
    ("pricing.volume.0.max", -1, "pricing.volume[0].max", "must not be negative"),
    ("pricing.volume.0.min", None, "pricing.volume[0].min", "must be a whole number"),
    ("pricing.volume.0.min", 200, "pricing.volume[0].max", "below min"),
    ("pricing.volume.0.max", 101, "pricing.volume[1].min", "overlaps volume[0]"),
    ("pricing.volume.0.max", None, "pricing.volume[1].min", "overlaps volume[0], which has no end"),
    ("pricing.volume.0.max", 98, "pricing.volume[1].min", "units 99 to 100 cost"),
    ("pricing.volume.0.max", 99, "pricing.volume[1].min", "what unit 100 cost"),
    ("routing", {"rules": [{}]}, "routing.rules[0].id", "is missing"),
    ("routing", {}, "routing.rules", "is missing"),
    ("routing", {"rules": []}, "routing.rules", "is empty"),
    ("integration.platforms", {"hubspot"}, "integration.platforms", "must be a list, not a set"),
    ("integration.field_policies.contact", {"phone": ["x"]}, POLICIES + "phone", "not a policy"),
]


@pytest.mark.parametrize(("path", "value", "where", "message"), WRONG)
def test_a_wrong_value_is_told_with_its_path(path, value, where, message):
    found = problems(changed(path, value))

    assert any(
        message in problem["message"] and (not where or problem["path"] == where)
        for problem in found
    ), found


def test_a_service_needs_a_name():
    data = {key: value for key, value in VALID.items() if key != "name"}

    assert only_problem(data)["path"] == "name"
    assert only_problem(data)["message"] == "is missing."


def test_a_key_without_a_value_is_a_key_not_given():
    data = copy.deepcopy(VALID)
    data |= {"platforms": None, "routing": None, "type": None}
    data["integration"] |= {"syncMode": None, "deletes": None}

    assert Service.create(**data) == Service.create(**VALID)


def test_a_key_that_belongs_under_integration_is_told_where_to_go():
    problem = only_problem(VALID | {"syncMode": "inbound"})

    assert problem["message"] == "belongs under integration: write integration.syncMode."


def test_a_key_given_in_both_spellings_is_refused():
    data = copy.deepcopy(VALID)
    data["integration"] |= {"sync_mode": "inbound", "syncMode": "outbound"}

    assert only_problem(data)["path"] == "integration.syncMode"


def test_a_required_key_that_is_misspelt_is_one_problem():
    tier = {"name": "A", "prise": 1, "includes": 1}
    problem = only_problem(changed("pricing", {"model": "subscription", "tiers": [tier]}))

    assert (problem["path"], problem["closest"]) == ("pricing.tiers[0].prise", "price")


def test_a_misspelt_platform_does_not_make_its_mapping_wrong_too():
    problem = only_problem(changed("integration.platforms.1", "hubspt"))

    assert problem["path"] == "integration.platforms[1]"


def test_volume_without_a_base_rate_must_price_every_unit():
    bands = [{"min": 5, "max": 10, "rate": 1}]

    found = problems(changed("pricing", {"model": "per-sync", "volume": bands}))
    assert [problem["path"] for problem in found] == [
        "pricing.volume[0].min",
        "pricing.volume[0].max",
    ]
    assert Service.create(
        name="Sync", pricing={"model": "per-sync", "rate": 2, "volume": bands}
    ).pricing.cost(20) == Decimal(6 + 14 * 2)


def test_tiers_and_rules_have_names_of_their_own():
    tier = {"name": "A", "price": 1, "includes": 1}
    rule = {"id": "a", "source": "x", "destination": "y", "events": "*"}
    data = VALID | {
        "pricing": {"model": "subscription", "tiers": [tier, tier]},
        "routing": {"rules": [rule, rule]},
    }

    assert [problem["path"] for problem in problems(data)] == [
        "routing.rules[1].id",
        "pricing.tiers[1].name",
    ]


@pytest.mark.parametrize(
    "pattern", ["", "order..created", "order.", ".created", "a b", "*.created"]
)
def test_an_event_pattern_that_can_match_nothing_is_refused(pattern):
    rule = {"id": "a", "source": ["x"], "destination": ["y"], "events": [pattern]}

    problem = only_problem(VALID | {"routing": {"rules": [rule]}})
    assert problem["path"] == "routing.rules[0].events[0]"


def test_a_percentage_is_a_share():
    problem = only_problem(
        changed("pricing", {"model": "per-transaction", "rate": 1, "percentage": 5})
    )

    assert problem["path"] == "pricing.percentage"
    assert "write 0.005 for 0.5%" in problem["message"]


def test_everything_that_is_wrong_is_told_at_once():
    data = copy.deepcopy(VALID)
    data["nname"] = 1
    data["integration"]["platforms"][1] = "hubsport"
    data["integration"]["syncMode"] = "both"
    data["integration"]["schedule"] = {"realtime": ["deals"], "batchInterval": "soon"}
    data["mappings"]["contact"]["hubspot"]["x"] = "fristName"
    data["pricing"]["rate"] = -1
    data["pricing"]["volume"][1]["min"] = 50

    found = {problem["path"] for problem in problems(data)}
    assert found == {
        "nname",
        "integration.platforms[1]",
        "integration.syncMode",
        "integration.schedule.realtime[0]",
        "integration.schedule.batchInterval",
        "mappings.contact.hubspot.x",
        "pricing.rate",
        "pricing.volume[1].min",
    }


def test_the_error_names_the_service_and_counts_its_problems():
    with pytest.raises(DeclarationError, match="There are 2 problems in the service 'Sync':"):
        Service.create(name="Sync", type="x", subtype=3)


def test_parts_made_by_hand_are_checked_like_tables():
    with pytest.raises(ValidationError, match=r"Did you mean 'hubspot'"):
        IntegrationConfig(platforms=["hubsport"])
    config = IntegrationConfig(platforms=("hubspot",))
    with pytest.raises(DeclarationError, match="listed under platforms already"):
        Service.create(name="Sync", platforms=["hubspot"], integration=config)
