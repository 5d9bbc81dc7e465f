"""Which property values are taken, how they are stored, and how they are refused."""

import pytest

from dovetail.core import json

CONTACTS = "/crm/v3/objects/contacts"
PROPERTIES = "/crm/v3/properties/contacts"


def problems(answer):
    """Read the JSON inside the message."""
    _, _, listed = answer.json["message"].partition("Property values were not valid: ")
    return {problem["name"]: problem["error"] for problem in json.decode(listed)}


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"foo": "1"}, {"foo": "PROPERTY_DOESNT_EXIST"}),
        ({"email": "not an address"}, {"email": "INVALID_EMAIL"}),
        ({"email": "a@b"}, {"email": "INVALID_EMAIL"}),
        ({"lifecyclestage": "friend"}, {"lifecyclestage": "INVALID_OPTION"}),
        ({"total_revenue": "many"}, {"total_revenue": "INVALID_INTEGER"}),
        ({"total_revenue": "NaN"}, {"total_revenue": "INVALID_INTEGER"}),
        ({"lastmodifieddate": "2026-01-01"}, {"lastmodifieddate": "READ_ONLY_VALUE"}),
        ({"closedate": "tomorrow"}, {"closedate": "INVALID_DATE"}),
        ({"hubspot_owner_id": "7"}, {"hubspot_owner_id": "INVALID_OWNER_ID"}),
        ({"foo": "1", "email": "x"}, {"foo": "PROPERTY_DOESNT_EXIST", "email": "INVALID_EMAIL"}),
    ],
)
async def test_a_wrong_value_is_refused_with_json_inside_the_message(portal, properties, expected):
    answer = await portal.post(CONTACTS, {"properties": {"firstname": "Ada", **properties}})

    assert answer.status == 400
    assert answer.json["category"] == "VALIDATION_ERROR"
    assert problems(answer) == expected


async def test_numbers_and_bools_become_texts(portal):
    created = await portal.post(
        CONTACTS, {"properties": {"firstname": "Ada", "total_revenue": 12.5, "jobtitle": True}}
    )

    assert created.json["properties"]["total_revenue"] == "12.5"
    assert created.json["properties"]["jobtitle"] == "true"


async def test_dates_are_taken_as_iso_or_milliseconds_and_stored_as_iso(portal):
    for sent in ("2026-03-01T10:00:00Z", "1772359200000", "2026-03-01T11:00:00+01:00"):
        created = await portal.post(CONTACTS, {"properties": {"firstname": "A", "closedate": sent}})

        assert created.json["properties"]["closedate"] == "2026-03-01T10:00:00.000Z"


async def test_an_integration_can_add_its_own_unique_key(portal):
    body = {
        "name": "erp_id",
        "label": "ERP id",
        "type": "string",
        "fieldType": "text",
        "groupName": "contactinformation",
        "hasUniqueValue": True,
    }
    before = await portal.get(f"{PROPERTIES}/erp_id")
    created = await portal.post(PROPERTIES, body)
    listed = {each["name"]: each for each in (await portal.get(PROPERTIES)).json["results"]}

    assert before.status == 404
    assert created.status == 201
    assert created.json["hasUniqueValue"] is True
    assert listed["erp_id"]["hubspotDefined"] is False
    assert (await portal.post(PROPERTIES, body)).status == 409

    row = {"idProperty": "erp_id", "id": "7", "properties": {"firstname": "Ada"}}
    first = await portal.batch("upsert", row)
    second = await portal.batch("upsert", row)
    assert [each["new"] for each in first.json["results"] + second.json["results"]] == [True, False]
    assert first.ids == second.ids
    taken = await portal.post(CONTACTS, {"properties": {"firstname": "B", "erp_id": "7"}})
    assert taken.status == 400
    assert f"{first.ids[0]} already has that value" in taken.json["message"]


@pytest.mark.parametrize(
    "change",
    [{"name": "Erp Id"}, {"type": "text"}, {"fieldType": "box"}, {"groupName": "nowhere"},
     {"label": None}],
)  # fmt: skip
async def test_a_wrong_property_definition_is_refused(portal, change):
    body = {"name": "erp_id", "label": "ERP", "type": "string", "fieldType": "text",
            "groupName": "contactinformation"}  # fmt: skip

    assert (await portal.post(PROPERTIES, {**body, **change})).status == 400


async def test_only_ten_unique_properties_fit(portal):
    statuses = []
    for number in range(11):
        body = {"name": f"key_{number}", "label": "k", "type": "string", "fieldType": "text",
                "groupName": "contactinformation", "hasUniqueValue": True}  # fmt: skip
        statuses.append((await portal.post(PROPERTIES, body)).status)

    assert statuses == [201] * 10 + [400]


async def test_own_properties_can_be_changed_and_archived_and_native_ones_not(portal):
    body = {
        "name": "colour",
        "label": "Colour",
        "type": "enumeration",
        "fieldType": "checkbox",
        "groupName": "contactinformation",
        "options": [{"label": "Red", "value": "red"}, {"label": "Blue", "value": "blue"}],
    }
    await portal.post(PROPERTIES, body)
    id = await portal.add(firstname="Ada", colour="red")
    more = await portal.patch(f"{CONTACTS}/{id}", {"properties": {"colour": ";blue"}})
    changed = await portal.patch(f"{PROPERTIES}/colour", {"label": "Color"})

    assert more.json["properties"]["colour"] == "red;blue"
    assert changed.json["label"] == "Color"
    assert (await portal.delete(f"{PROPERTIES}/colour")).status == 204
    assert (await portal.get(f"{PROPERTIES}/colour")).status == 404
    assert (await portal.delete(f"{PROPERTIES}/email")).status == 400
    refused = await portal.post(CONTACTS, {"properties": {"firstname": "B", "colour": "red"}})
    assert problems(refused) == {"colour": "PROPERTY_DOESNT_EXIST"}


async def test_owners_are_found_by_id_user_id_and_address(portal):
    owners = (await portal.get("/crm/v3/owners/", limit=2)).json
    one = owners["results"][0]
    rest = (await portal.get("/crm/v3/owners", after=owners["paging"]["next"]["after"])).json

    assert len(rest["results"]) == 1
    assert (await portal.get(f"/crm/v3/owners/{one['id']}")).json == one
    by_user = await portal.get(f"/crm/v3/owners/{one['userId']}", idProperty="userId")
    assert by_user.json == one
    by_email = await portal.get("/crm/v3/owners", email=one["email"])
    assert by_email.json["results"] == [one]
    assert await portal.add(firstname="Ada", hubspot_owner_id=one["id"])


async def test_pipelines_and_account_are_described(portal):
    pipelines = (await portal.get("/crm/v3/pipelines/deals")).json["results"]
    account = (await portal.get("/account-info/v3/details")).json

    stages = {stage["id"]: stage["metadata"] for stage in pipelines[0]["stages"]}
    assert stages["closedwon"] == {"isClosed": "true", "probability": "1.0"}
    assert isinstance(account["portalId"], int)
    assert (await portal.get("/crm/v3/pipelines/tickets/0")).json["id"] == "0"
