"""Mappings, applied both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.entities import Address, Contact, Order
from dovetail.service.declaration import FieldMapping, Service

CONTACT = {
    "Email": "email",
    "FirstName": "firstName",
    "Vip__c": "custom.vip",
    "Tier__c": "custom.tier",
}
ORDER = {"ship_zip": "shippingAddress.postalCode", "total": "total"}


def service() -> Service:
    return Service.create(
        name="Sync",
        platforms=["salesforce", "hubspot", "shopify"],
        mappings={
            "contacts": {"salesforce": CONTACT, "hubspot": {"email": "email"}},
            "order": {"shopify": ORDER},
        },
    )


def test_a_mapping_is_reached_by_attribute_or_item_singular_or_plural():
    mappings = service().mappings
    salesforce = mappings.contact.salesforce

    assert isinstance(salesforce, FieldMapping)
    assert mappings["contact"]["salesforce"] is salesforce
    assert mappings.contacts["salesforce"] is salesforce
    assert mappings["contacts"].salesforce is salesforce
    assert list(mappings) == ["contact", "order"]


def test_pairs_are_their_fields_and_ours():
    assert service().mappings.contact.salesforce.pairs == {
        "Email": "email",
        "FirstName": "first_name",
        "Vip__c": "custom.vip",
        "Tier__c": "custom.tier",
    }


def test_a_mapping_that_is_not_declared_is_told_with_the_closest():
    mappings = service().mappings

    with pytest.raises(AttributeError, match="Did you mean 'hubspot'"):
        _ = mappings.contact.hubspott
    with pytest.raises(AttributeError, match="no mapping of entity 'ticket'"):
        _ = mappings.ticket
    with pytest.raises(KeyError):
        _ = mappings["ticket"]
    assert "ticket" not in mappings
    assert mappings.get("ticket") is None
    assert "stripe" not in mappings.contact


def test_outbound_takes_an_entity():
    contact = Contact(email="ada@example.com", first_name="Ada", custom={"vip": True})

    assert service().mappings.contact.salesforce.outbound(contact) == {
        "Email": "ada@example.com",
        "FirstName": "Ada",
        "Vip__c": True,
    }


def test_outbound_leaves_out_what_a_record_does_not_have_and_keeps_none():
    mapping = service().mappings.contact.salesforce

    assert mapping.outbound({"email": None, "phone": "1"}) == {"Email": None}
    assert mapping.outbound({}) == {}


def test_inbound_takes_only_what_is_mapped_and_told():
    mapping = service().mappings.contact.salesforce
    fields = {"Email": None, "Vip__c": True, "Id": "003", "LastModifiedDate": "now"}

    assert mapping.inbound(fields) == {"email": None, "custom": {"vip": True}}
    assert Contact(**mapping.inbound(fields)).custom == {"vip": True}


def test_a_mapping_reaches_into_nested_values():
    mapping = service().mappings.order.shopify

    assert mapping.outbound(Order(shipping_address=Address(postal_code="10115"))) == {
        "ship_zip": "10115",
        "total": None,
    }
    assert mapping.outbound(Order()) == {"ship_zip": None, "total": None}
    assert mapping.inbound({"ship_zip": "10115"}) == {"shipping_address": {"postal_code": "10115"}}


VALUES = st.none() | st.text("Aé ") | st.integers() | st.booleans()


@given(st.dictionaries(st.sampled_from(sorted(CONTACT)), VALUES))
def test_what_comes_in_goes_out_the_same(fields):
    mapping = service().mappings.contact.salesforce

    assert mapping.outbound(mapping.inbound(fields)) == fields


def test_one_of_our_fields_may_feed_two_of_theirs_where_nothing_is_read_back():
    data = {
        "name": "Sync",
        "integration": {"platforms": ["hubspot"], "syncMode": "outbound"},
        "mappings": {"contact": {"hubspot": {"phone": "phone", "hs_calling": "phone"}}},
    }

    mapping = Service.create(**data).mappings.contact.hubspot
    assert mapping.outbound({"phone": "1"}) == {"phone": "1", "hs_calling": "1"}
