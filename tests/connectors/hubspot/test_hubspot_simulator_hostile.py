"""Whatever a client sends, the simulator answers as HubSpot would: never with a crash."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.testing.loop import run

WORDS = st.sampled_from(
    ["id", "email", "idProperty", "1", "a@b.co", "objectWriteTraceId", "firstname", "closedate",
     "EQ", "GTE", "IN", "BETWEEN", "ASCENDING", "true", "", "-1", "1e999", "9" * 15, "٣", "\ud7ff"]
)  # fmt: skip
SCALARS = WORDS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
KEYS = st.sampled_from(
    ["id", "properties", "idProperty", "objectWriteTraceId", "inputs", "email", "firstname",
     "closedate", "total_revenue", "lifecyclestage", "filters", "filterGroups", "propertyName",
     "operator", "value", "values", "highValue", "sorts", "direction", "limit", "after", "query",
     "primaryObjectId", "objectIdToMerge", "name", "label", "type", "fieldType", "groupName",
     "options", "objectId", "propertiesWithHistory", "hubspot_owner_id", "from", "to", "types",
     "associations",
     "associationCategory", "associationTypeId", "inverseLabel", "stages", "displayOrder",
     "metadata", "probability", "redirect_uris", "token_life_s"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)
FILTER = st.fixed_dictionaries(
    {"propertyName": st.sampled_from(["email", "closedate", "lastmodifieddate", "total_revenue"])},
    optional={"operator": WORDS, "value": ANYTHING, "values": ANYTHING, "highValue": ANYTHING},
)
ROW = st.fixed_dictionaries(
    {"id": SCALARS, "properties": st.dictionaries(KEYS, ANYTHING, max_size=3)},
    optional={"idProperty": ANYTHING, "objectWriteTraceId": ANYTHING},
)
BODIES = (
    st.dictionaries(KEYS, ANYTHING, max_size=5)
    | st.builds(lambda rows: {"inputs": rows}, st.lists(ROW, max_size=3))
    | st.builds(
        lambda filters, more: {**more, "filterGroups": [{"filters": filters}]},
        st.lists(FILTER, max_size=3),
        st.dictionaries(KEYS, ANYTHING, max_size=2),
    )
)
OBJECTS = "/crm/v3/objects/contacts"
CALLS = [
    ("POST", OBJECTS),
    ("PATCH", f"{OBJECTS}/1"),
    ("POST", f"{OBJECTS}/search"),
    ("POST", f"{OBJECTS}/merge"),
    ("POST", f"{OBJECTS}/gdpr-delete"),
    *[("POST", f"{OBJECTS}/batch/{name}") for name in ("read", "create", "update", "upsert")],
    ("POST", f"{OBJECTS}/batch/archive"),
    ("POST", "/crm/v3/properties/contacts"),
    ("PATCH", "/crm/v3/properties/contacts/own"),
    ("POST", "/crm/v3/properties/contacts/groups"),
    ("POST", "/crm/v3/properties/contacts/batch/create"),
    ("POST", "/crm/v3/properties/contacts/batch/read"),
    ("POST", "/crm/v3/pipelines/deals"),
    ("PATCH", "/crm/v3/pipelines/deals/default"),
    ("POST", "/crm/v3/pipelines/deals/default/stages"),
    ("PUT", "/crm/v4/objects/contacts/160/associations/companies/1"),
    *[
        ("POST", f"/crm/v4/associations/contacts/companies/{name}")
        for name in (
            "labels",
            "batch/create",
            "batch/read",
            "batch/archive",
            "batch/labels/archive",
        )
    ],
    ("PUT", "/crm/v4/associations/contacts/companies/labels"),
    ("POST", "/crm/v3/associations/contacts/companies/batch/create"),
    ("POST", "/oauth/v1/token"),
    ("POST", "/_sandbox/app"),
    ("POST", "/_sandbox/edit"),
    ("POST", "/_sandbox/faults"),
]


@pytest.mark.parametrize(("method", "path"), CALLS, ids=lambda value: value.rsplit("/", 1)[-1])
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=BODIES)
def test_no_body_breaks_the_simulator(make_portal, method, path, body):
    async def attempt():
        portal = make_portal()
        own = {"name": "own", "label": "Own", "type": "string", "fieldType": "text",
               "groupName": "contactinformation", "hasUniqueValue": True}  # fmt: skip
        await portal.post("/crm/v3/properties/contacts", own)
        await portal.add(email="a@b.co", closedate="2026-03-01T00:00:00Z", total_revenue="1")
        answer = await portal.call(method, path, body)
        assert answer.status < 500, answer.raw

    run(attempt())


@pytest.mark.parametrize(
    "query",
    ["limit=x", "limit=-1", "limit=²", "after=x", "after=-1", "after=", "archived=maybe",
     "properties=,,", "idProperty=", "limit=5&limit=6", "after=99999999999999999999999"],
)  # fmt: skip
@pytest.mark.parametrize("path", [OBJECTS, f"{OBJECTS}/1", "/crm/v3/owners"])
async def test_no_query_breaks_the_simulator(portal, path, query):
    await portal.add(email="ada@example.com")

    assert (await portal.call("GET", f"{path}?{query}")).status in (200, 400, 404)
