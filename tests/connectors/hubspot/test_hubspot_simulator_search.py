"""Search: operators, order, pages, the cap, the index that lags."""

import pytest

CONTACTS = "/crm/v3/objects/contacts"


def where(name, operator, value=None, **more):
    described = {"propertyName": name, "operator": operator, **more}
    return described if value is None else {**described, "value": value}


async def crowd(portal):
    ids = {}
    for name, revenue, stage in (
        ("Ada", "10", "lead"),
        ("Bob", "9", "customer"),
        ("Cid", None, None),
    ):
        more = {} if revenue is None else {"total_revenue": revenue, "lifecyclestage": stage}
        ids[name] = await portal.add(email=f"{name}@example.com", firstname=name, **more)
    return ids


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (where("firstname", "EQ", "ada"), "Ada"),
        (where("firstname", "NEQ", "Ada"), "Bob Cid"),
        (where("total_revenue", "LT", "10"), "Bob"),
        (where("total_revenue", "LTE", "10"), "Ada Bob"),
        (where("total_revenue", "GT", "9"), "Ada"),
        (where("total_revenue", "GTE", "9"), "Ada Bob"),
        (where("total_revenue", "BETWEEN", "9.5", highValue="11"), "Ada"),
        (where("firstname", "IN", values=["ada", "bob"]), "Ada Bob"),
        (where("firstname", "IN", values=["Ada"]), ""),
        (where("lifecyclestage", "NOT_IN", values=["lead"]), "Bob"),
        (where("lifecyclestage", "HAS_PROPERTY"), "Ada Bob"),
        (where("lifecyclestage", "NOT_HAS_PROPERTY"), "Cid"),
        (where("email", "CONTAINS_TOKEN", "bob*"), "Bob"),
        (where("email", "CONTAINS_TOKEN", "ob"), ""),
        (where("email", "NOT_CONTAINS_TOKEN", "bob"), "Ada Cid"),
    ],
)
async def test_operators(portal, condition, expected):
    ids = await crowd(portal)
    answer = await portal.search(condition)

    assert answer.status == 200, answer.raw
    assert answer.ids == [ids[name] for name in expected.split()]
    assert answer.json["total"] == len(answer.ids)


async def test_groups_are_alternatives_and_their_filters_all_hold(portal):
    ids = await crowd(portal)
    body = {
        "filterGroups": [
            {"filters": [where("firstname", "EQ", "Ada"), where("total_revenue", "GT", "5")]},
            {"filters": [where("firstname", "EQ", "Cid"), where("total_revenue", "GT", "5")]},
            {"filters": [where("firstname", "EQ", "Bob")]},
        ]
    }
    answer = await portal.post(f"{CONTACTS}/search", body)

    assert answer.ids == [ids["Ada"], ids["Bob"]]


async def test_results_are_sorted_by_one_property(portal):
    ids = await crowd(portal)
    by_revenue = [{"propertyName": "total_revenue", "direction": "ASCENDING"}]
    answer = await portal.search(where("total_revenue", "HAS_PROPERTY"), sorts=by_revenue)
    down = await portal.search(sorts=[{"propertyName": "firstname", "direction": "DESCENDING"}])

    assert answer.ids == [ids["Bob"], ids["Ada"]]
    assert down.ids == [ids["Cid"], ids["Bob"], ids["Ada"]]
    assert (await portal.search(sorts=by_revenue * 2)).status == 400


async def test_a_delta_is_read_in_the_order_of_modification(portal):
    ids = await crowd(portal)
    await portal.clock.sleep(60)
    since = str(round(portal.clock.now().timestamp() * 1000))
    for name in ("Cid", "Ada"):
        await portal.patch(f"{CONTACTS}/{ids[name]}", {"properties": {"phone": "1"}})
        await portal.clock.sleep(1)
    sorts = [{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}]
    answer = await portal.search(
        where("lastmodifieddate", "GTE", since), sorts=sorts, properties=["phone"]
    )

    assert answer.ids == [ids["Cid"], ids["Ada"]]
    assert answer.json["results"][0]["properties"]["phone"] == "1"
    newest = answer.json["results"][1]["updatedAt"]
    inclusive = await portal.search(where("lastmodifieddate", "GTE", newest))
    beyond = await portal.search(where("lastmodifieddate", "GT", newest))
    assert inclusive.ids == [ids["Ada"]]
    assert beyond.ids == []


async def test_pages_are_offsets(make_portal):
    portal = make_portal(records=450)
    seen, after = [], "0"
    while after is not None:
        page = await portal.search(limit=200, after=after)
        seen += page.ids
        after = page.json.get("paging", {}).get("next", {}).get("after")

    assert len(seen) == len(set(seen)) == 450
    assert page.json["total"] == 450


async def test_nothing_comes_beyond_ten_thousand(portal):
    assert (await portal.search(limit=100, after="9900")).status == 200
    refused = await portal.search(limit=100, after="9901")

    assert refused.status == 400
    assert refused.json["category"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 0},
        {"after": "x"},
        {"filterGroups": [{"filters": [where("firstname", "HAS_PROPERTY")]}] * 6},
        {"filterGroups": [{"filters": [where("firstname", "HAS_PROPERTY")] * 7}]},
        {"filterGroups": [{"filters": [where("firstname", "HAS_PROPERTY")] * 5}] * 4},
        {"filterGroups": [{"filters": [where("nope", "HAS_PROPERTY")]}]},
        {"filterGroups": [{"filters": [where("hs_lastmodifieddate", "GTE", "1")]}]},
        {"filterGroups": [{"filters": [where("firstname", "LIKE", "x")]}]},
        {"filterGroups": [{"filters": [where("firstname", "EQ")]}]},
        {"filterGroups": [{"filters": [where("total_revenue", "GT", "much")]}]},
        {"filterGroups": [{"filters": [where("firstname", "IN", values=["x" * 3000])]}]},
        {"filterGroups": "all"},
    ],
    ids=str,
)
async def test_a_wrong_search_is_refused(portal, body):
    answer = await portal.post(f"{CONTACTS}/search", body)

    assert answer.status == 400
    assert answer.json["category"] == "VALIDATION_ERROR"


async def test_writes_appear_only_after_the_lag_and_stay(make_portal):
    portal = make_portal(search_lag_s=2.0)
    id = await portal.add(email="ada@example.com", firstname="Ada")
    assert (await portal.search()).ids == []
    await portal.clock.sleep(2.01)
    assert (await portal.search()).ids == [id]

    await portal.patch(f"{CONTACTS}/{id}", {"properties": {"firstname": "Augusta"}})
    stale = await portal.search(properties=["firstname"])
    await portal.clock.sleep(2.01)
    fresh = await portal.search(properties=["firstname"])
    assert stale.json["results"][0]["properties"]["firstname"] == "Ada"
    assert fresh.json["results"][0]["properties"]["firstname"] == "Augusta"

    await portal.delete(f"{CONTACTS}/{id}")
    assert (await portal.search()).ids == [id]
    await portal.clock.sleep(2.01)
    assert (await portal.search()).ids == []


async def test_seeded_records_are_found_at_once(make_portal):
    portal = make_portal(records=20, search_lag_s=30)

    assert (await portal.search()).json["total"] == 20


async def test_a_fault_makes_the_index_lag_more(make_portal):
    portal = make_portal(search_lag_s=1)
    await portal.control("faults", {"faults": [{"kind": "consistency_lag", "seconds": 60}]})
    id = await portal.add(email="ada@example.com")
    await portal.clock.sleep(59)
    assert (await portal.search()).ids == []
    await portal.clock.sleep(2)
    assert (await portal.search()).ids == [id]


async def test_a_text_is_found_in_names_and_addresses(portal):
    ids = await crowd(portal)

    assert (await portal.search(query="BOB@")).ids == [ids["Bob"]]
    assert (await portal.search(query="nobody")).ids == []
