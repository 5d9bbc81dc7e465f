"""What usage comes to, and money that stays what was written."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.service.declaration import Service
from dovetail.service.declaration.price_text import money_text
from dovetail.service.declaration.pricing import (
    PRICING_MODELS,
    PerContact,
    PerEvent,
    PerIntegration,
    PerSync,
    PerTicket,
    PerTransaction,
)

VOLUME = [
    {"min": 100_001, "max": None, "rate": "0.001"},
    {"min": 0, "max": 10_000, "rate": "0.01"},
    {"min": 10_001, "max": 100_000, "rate": "0.005"},
]

AMOUNTS = st.decimals(min_value=0, max_value=10**6, places=9, allow_nan=False, allow_infinity=False)


def priced(**pricing):
    return Service.create(name="Priced", pricing=pricing).pricing


@given(AMOUNTS)
def test_an_amount_is_kept_exactly(amount):
    pricing = priced(model="per-ticket", rate=amount)

    assert str(pricing.rate) == str(amount)
    assert priced(**json.loads(pricing.model_dump_json())).rate == amount


@given(st.integers(min_value=0, max_value=10**9), st.integers(min_value=0, max_value=6))
def test_a_float_is_the_amount_that_it_is_written_as(digits, places):
    written = Decimal(digits).scaleb(-places)

    assert priced(model="per-ticket", rate=float(str(written))).rate == written


def test_a_float_is_never_expanded_to_its_binary_value():
    assert priced(model="per-ticket", rate=0.1).rate == Decimal("0.1")
    assert priced(model="per-ticket", rate=1.1).cost(3) == Decimal("3.3")


@pytest.mark.parametrize(
    ("syncs", "price"),
    [
        (0, "0"),
        (1, "0.01"),
        (10_000, "100"),
        (10_001, "100.005"),
        (50_000, "300"),
        (100_000, "550"),
        (100_001, "550.001"),
        (1_000_000, "1450"),
    ],
)
def test_each_sync_costs_what_its_own_band_says(syncs, price):
    assert priced(model="per-sync", volume=VOLUME).cost(syncs) == Decimal(price)


@given(st.integers(min_value=0, max_value=200_000))
def test_one_more_sync_costs_the_rate_of_the_band_it_falls_in(syncs):
    pricing = priced(model="per-sync", volume=VOLUME)
    rate = "0.01" if syncs < 10_000 else "0.005" if syncs < 100_000 else "0.001"

    assert pricing.cost(syncs + 1) - pricing.cost(syncs) == Decimal(rate)


@pytest.mark.parametrize("spelling", ["rate", "base_rate", "baseRate"])
def test_a_flat_rate_has_two_names(spelling):
    pricing = priced(model="per-sync", **{spelling: "0.02"})

    assert isinstance(pricing, PerSync)
    assert pricing.cost(100) == 2


def test_the_other_forms_come_to_what_they_say():
    transaction = PerTransaction(rate="0.10", percentage="0.005")
    assert transaction.cost(2, Decimal(100)) == Decimal("0.70")
    event = PerEvent(rate="0.001", minimum_charge="10")
    assert (event.cost(1), event.cost(20_000)) == (10, 20)
    assert PerContact(rate="0.02", campaigns="0.1").cost(100, 3) == Decimal("2.3")
    assert PerTicket(rate="0.1").cost(7) == Decimal("0.7")
    integration = PerIntegration(setup=100, monthly=50, additional_platforms=25)
    assert integration.cost(3, 2) == 100 + 3 * (50 + 2 * 25)


def test_every_form_has_its_name():
    assert list(PRICING_MODELS) == [
        "per-sync",
        "per-transaction",
        "per-event",
        "per-contact",
        "per-ticket",
        "per-post",
        "per-integration",
        "subscription",
    ]


@pytest.mark.parametrize(
    "written", [None, "unlimited", "Unlimited", "Infinity", float("inf"), Decimal("inf"), ".inf"]
)
def test_every_spelling_of_no_limit_means_no_limit(written):
    tier = {"name": "A", "price": 1, "includes": written, "platforms": written}
    (read,) = priced(model="subscription", tiers=[tier]).tiers

    assert (read.includes, read.platforms) == (None, None)


@pytest.mark.parametrize("written", [5000, 5000.0, "5000", "5_000", Decimal("5E3")])
def test_a_limit_is_a_whole_number_however_written(written):
    (tier,) = priced(
        model="subscription", tiers=[{"name": "A", "price": 1, "includes": {"syncs": written}}]
    ).tiers

    assert tier.includes == {"syncs": 5000}
    assert type(tier.includes["syncs"]) is int


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "USD 0.00"),
        ("0.005", "USD 0.005"),
        ("99.0", "USD 99.00"),
        ("1E+3", "USD 1,000.00"),
        ("1234567.1", "USD 1,234,567.10"),
    ],
)
def test_amounts_read_as_people_write_them(amount, text):
    assert money_text(Decimal(amount), "USD") == text
