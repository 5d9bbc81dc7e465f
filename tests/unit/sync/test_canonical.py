"""The forms of a value."""

import pytest

from dovetail.model.crm import Company, Contact, Deal
from dovetail.sync.canonical import canonical, equivalent, literal
from dovetail.sync.identity import natural_key


@pytest.mark.parametrize(
    ("entity", "name", "told", "held"),
    [
        (Contact, "first_name", " Ada ", " Ada "),
        (Contact, "first_name", "", None),
        (Contact, "postal_code", 8001, "8001"),
        (Contact, "total_spent", 10.50, "10.5"),
        (Contact, "total_spent", "10.50", "10.5"),
        (Contact, "tags", ["b", "a", "b"], ["a", "b"]),
        (Contact, "last_purchase", "2026-01-02T03:04:05.000+0000", "2026-01-02T03:04:05.000000Z"),
        (Contact, "last_purchase", 1767323045000, "2026-01-02T03:04:05.000000Z"),
        (Company, "employees", "12", 12),
        (Deal, "close_date", "2026-01-02T00:00:00Z", "2026-01-02"),
        (Contact, "custom.vip", True, True),
    ],
)
def test_a_told_value_is_read_as_its_field_s_type(entity, name, told, held):
    assert literal(entity, name, told) == held


@pytest.mark.parametrize(
    ("entity", "name", "told"),
    [(Company, "employees", "many"), (Contact, "total_spent", "lots"), (Contact, "city", {"a": 1})],
)
def test_a_value_that_the_field_cannot_hold_is_refused(entity, name, told):
    with pytest.raises(ValueError, match=f"{name} cannot hold"):
        literal(entity, name, told)


def test_texts_are_compared_trimmed_and_addresses_in_lower_case():
    assert canonical(Contact, "first_name", " Ada ") == "Ada"
    assert canonical(Contact, "first_name", "  ") is None
    assert canonical(Contact, "email", " Ada@X.com") == "ada@x.com"


@pytest.mark.parametrize(
    ("name", "sent", "back", "same"),
    [
        ("first_name", "Ada", "ADA", True),
        ("first_name", "Ada  L", "Ada L", True),
        ("phone", "+1 555 0100", "(1) 555-0100", True),
        ("phone", "+1 555 0100", "+1 555 0101", False),
        ("job_title", "a" * 60, "a" * 40, True),
        ("first_name", "Adam", "Ada", False),
        ("total_spent", "10.5", "10.50", True),
        ("first_name", "Ada", None, False),
    ],
)
def test_normalisation_is_told_from_a_change(name, sent, back, same):
    assert equivalent(Contact, name, sent, back) is same


def test_natural_keys_are_normalised():
    assert natural_key("contact", {"email": " Ada@X.com "}) == "ada@x.com"
    assert natural_key("company", {"domain": "https://www.Acme.com/about"}) == "acme.com"
    assert natural_key("contact", {"email": None}) is None
    assert natural_key("deal", {"name": "Big one"}) is None
