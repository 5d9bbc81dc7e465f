"""The control endpoints and every fault, on the HubSpot simulator in process."""

import pytest

from dovetail.core.transport import HttpRequest, TransportError

CONTACTS = "/crm/v3/objects/contacts"


async def faults(portal, *described, **more):
    answer = await portal.control("faults", {"faults": list(described), **more})
    assert answer.status == 200, answer.raw
    return answer.json["faults"]


async def test_a_cut_before_leaves_nothing_and_a_cut_after_leaves_the_write(portal):
    body = {"properties": {"email": "ada@example.com"}}
    await faults(portal, {"kind": "cut_before", "count": 1})
    with pytest.raises(TransportError) as before:
        await portal.post(CONTACTS, body)
    assert before.value.sent is True
    assert (await portal.get(CONTACTS)).ids == []

    await faults(portal, {"kind": "cut_after", "method": "post", "count": 1})
    with pytest.raises(TransportError) as after:
        await portal.post(CONTACTS, body)
    assert after.value.sent is True
    assert len((await portal.get(CONTACTS)).ids) == 1
    calls = (await portal.control("calls")).json["calls"]
    cut = {"method": "POST", "path": "/crm/v3/objects/{type}", "status": 0, "count": 2}
    assert cut in calls


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "rate_limit"}, 429),
        ({"kind": "server_error"}, 503),
        ({"kind": "server_error", "status": 502}, 502),
        ({"kind": "expired_token"}, 401),
        ({"kind": "html"}, 502),
        ({"kind": "html", "status": 200}, 200),
    ],
    ids=str,
)
async def test_a_fault_that_replaces_the_answer_applies_nothing(portal, fault, status):
    await faults(portal, {**fault, "count": 1})
    answer = await portal.post(CONTACTS, {"properties": {"email": "ada@example.com"}})

    assert answer.status == status
    is_html = answer.headers["content-type"].startswith("text/html")
    assert is_html is (fault["kind"] == "html")
    assert (await portal.get(CONTACTS)).ids == []


async def test_faults_speak_as_the_vendor_does(portal):
    await faults(portal, {"kind": "rate_limit", "count": 1}, {"kind": "expired_token", "count": 1})
    limited, expired = await portal.get(CONTACTS), await portal.get(CONTACTS)

    assert limited.json["errorType"] == "RATE_LIMIT"
    assert expired.json["category"] == "EXPIRED_AUTHENTICATION"


async def test_a_locked_record_refuses_writes_only(portal):
    id = await portal.add(firstname="Ada")
    await faults(portal, {"kind": "row_lock", "count": 1})

    assert (await portal.get(f"{CONTACTS}/{id}")).status == 200
    assert (await portal.search()).status == 200
    body = {"properties": {"phone": "1"}}
    assert (await portal.patch(f"{CONTACTS}/{id}", body)).status == 423
    assert (await portal.patch(f"{CONTACTS}/{id}", body)).status == 200


async def test_a_truncated_answer_is_half_and_the_write_was_applied(portal):
    await faults(portal, {"kind": "truncate", "count": 1})
    answer = await portal.post(CONTACTS, {"properties": {"email": "ada@example.com"}})

    assert answer.status == 201
    assert int(answer.headers["content-length"]) == len(answer.raw)
    with pytest.raises(ValueError, match=r"JSON|truncated|malformed"):
        _ = answer.json
    assert len((await portal.get(CONTACTS)).ids) == 1


async def test_latency_can_outlast_the_patience_of_a_caller_and_is_applied_still(portal):
    await faults(portal, {"kind": "latency", "seconds": 60, "count": 1})
    request = HttpRequest(
        method="POST",
        url=f"https://api.hubapi.com{CONTACTS}",
        headers={"authorization": f"Bearer {portal.token}"},
        body=b'{"properties":{"email":"ada@example.com"}}',
        timeout_s=5,
    )
    with pytest.raises(TransportError) as caught:
        await portal.transport.send(request)
    assert caught.value.sent is True
    await portal.clock.sleep(60)

    assert len((await portal.get(CONTACTS)).ids) == 1


async def test_faults_match_path_method_count_and_probability(portal):
    await faults(
        portal,
        {"kind": "server_error", "path": "*/search", "count": 1},
        {"kind": "rate_limit", "method": "DELETE"},
        {"kind": "html", "path": "*/owners*", "probability": 0.5},
        seed=1,
    )
    assert [(await portal.search()).status for _ in range(2)] == [503, 200]
    assert (await portal.delete(f"{CONTACTS}/1")).status == 429
    assert (await portal.get(CONTACTS)).status == 200
    seen = [(await portal.get("/crm/v3/owners")).status for _ in range(100)]
    assert 30 < seen.count(502) < 70
    assert await faults(portal) == []
    assert (await portal.delete(f"{CONTACTS}/1")).status == 204


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"faults": [{"kind": "earthquake"}]}, "cut_after"),
        ({"faults": [{"kind": "latency", "seconds": -1}]}, "seconds"),
        ({"faults": [{"kind": "latency", "second": 1}]}, "'second'"),
        ({"faults": [{"kind": "server_error", "status": 418}]}, "503"),
        ({"faults": [{"kind": "html", "probability": 2}]}, "probability"),
        ({"faults": [{"kind": "html", "count": 1.5}]}, "whole"),
        ({"faults": ["html"]}, "object"),
        ({"faults": "html"}, "faults"),
        ({"faults": [], "seed": "x"}, "seed"),
        ({}, "faults"),
    ],
    ids=str,
)
async def test_a_wrong_fault_is_refused_and_changes_nothing(portal, body, named):
    kept = await faults(portal, {"kind": "latency", "seconds": 0})
    answer = await portal.control("faults", body)

    assert answer.status == 400
    assert named in answer.json["error"]
    assert (await portal.control("faults")).json["faults"] == kept


async def test_webhooks_get_lost_and_duplicated(portal, make_receiver):
    receiver = make_receiver(portal)
    await portal.control("webhooks", {"url": receiver.url})
    await faults(portal, {"kind": "webhook_lost", "count": 1})
    await portal.add(firstname="Ada")
    await portal.simulator.drain()
    assert receiver.of("contact.creation") == []
    assert len(receiver.of("contact.propertyChange")) == 1

    await faults(portal, {"kind": "webhook_duplicate"})
    await portal.add(firstname="Bob")
    await portal.simulator.drain()
    [one, two] = receiver.of("contact.creation")
    assert one == two


async def test_webhooks_come_late_and_in_another_order(portal, make_receiver):
    receiver = make_receiver(portal)
    await portal.control("webhooks", {"url": receiver.url})
    await faults(portal, {"kind": "webhook_late", "seconds": 300, "count": 1})
    await portal.add(firstname="Ada")
    await portal.clock.sleep(10)
    assert receiver.of("contact.creation") == []
    await portal.clock.sleep(300)
    assert len(receiver.of("contact.creation")) == 1

    receiver.calls.clear()
    await faults(portal, {"kind": "webhook_reorder"}, seed=3)
    for number in range(8):
        await portal.add(firstname=str(number))
    await portal.simulator.drain()
    ids = [event["objectId"] for event in receiver.of("contact.creation")]
    assert ids != sorted(ids)
    assert len(set(ids)) == 8


async def test_a_persons_edits_follow_the_rules_of_the_api(portal):
    made = await portal.control(
        "edit", {"resource": "contacts", "fields": {"email": "ADA@example.com", "firstname": "Ada"}}
    )
    record = made.json["record"]
    taken = await portal.control(
        "edit", {"resource": "contacts", "fields": {"email": "ada@example.com"}}
    )
    wrong = await portal.control(
        "edit", {"resource": "contacts", "id": record["id"], "fields": {"foo": "1"}}
    )
    gone = await portal.control("edit", {"resource": "contacts", "id": "999", "fields": {}})

    assert record["fields"]["email"] == "ada@example.com"
    assert record["deleted"] is False
    assert record["created_at"] == record["modified_at"]
    assert (taken.status, taken.json["code"]) == (409, "CONFLICT")
    assert (wrong.status, wrong.json["field"]) == (400, "foo")
    assert gone.status == 404
    assert "999" in gone.json["error"]


async def test_many_edits_happen_at_one_moment(portal):
    one = await portal.add(firstname="Ada")
    answer = await portal.control(
        "edit",
        {
            "edits": [
                {"resource": "contacts", "id": one, "fields": {"phone": "1"}},
                {"resource": "contacts", "fields": {"firstname": "Bob"}},
                {"resource": "contacts", "id": one, "delete": True},
            ]
        },
    )
    records = answer.json["records"]

    assert len({record["modified_at"] for record in records}) == 1
    assert [record["deleted"] for record in records] == [False, False, True]
    refused = await portal.control("edit", {"edits": [{"resource": "contacts", "id": one}]})
    assert refused.status == 404
    assert refused.json["error"].startswith("edits[0]: ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"resource": "nothings", "fields": {}}, 404),
        ({"resource": "contacts", "fields": []}, 400),
        ({"resource": "contacts", "delete": True}, 400),
        ({"resource": "contacts", "field": {}}, 400),
        ({"edits": {}}, 400),
        ({"edits": ["x"]}, 400),
        ([], 400),
    ],
    ids=str,
)
async def test_a_wrong_edit_is_refused(portal, body, status):
    answer = await portal.control("edit", body)

    assert answer.status == status
    assert answer.json["error"]


async def test_records_are_shown_with_the_deleted_ones_on_request(portal):
    one, two = await portal.add(firstname="Ada"), await portal.add(firstname="Bob")
    await portal.delete(f"{CONTACTS}/{one}")
    live = (await portal.control("records/contacts")).json
    everything = (await portal.control("records/0-1?deleted=true")).json

    assert (live["resource"], live["total"]) == ("contacts", 1)
    assert [record["id"] for record in live["records"]] == [two]
    assert live["records"][0]["fields"]["firstname"] == "Bob"
    assert [record["deleted"] for record in everything["records"]] == [True, False]
    assert (await portal.control("records/nothings")).status == 404


async def test_calls_are_counted_by_template_and_control_calls_are_not(portal):
    await portal.add(firstname="Ada")
    await portal.get(f"{CONTACTS}/1")
    await portal.get(f"{CONTACTS}/2")
    calls = (await portal.control("calls")).json
    detail = (await portal.control("calls?detail=true")).json

    assert calls["total"] == 3
    assert calls["calls"][0] == {
        "method": "GET",
        "path": "/crm/v3/objects/{type}/{id}",
        "status": 404,
        "count": 2,
    }
    assert [call["path"] for call in detail["last"]][1:] == [f"{CONTACTS}/1", f"{CONTACTS}/2"]


async def test_a_reset_brings_the_seeded_state_back(make_portal, make_receiver):
    portal = make_portal(records=30)
    receiver = make_receiver(portal)
    before = (await portal.control("records/contacts")).json
    await portal.control("webhooks", {"url": receiver.url})
    await portal.batch("archive", *[{"id": record["id"]} for record in before["records"]])
    await portal.add(firstname="Ada")
    await faults(portal, {"kind": "html"})
    answer = await portal.control("reset", {})

    assert answer.json["records"]["contacts"] == 30
    after = (await portal.control("records/contacts")).json
    assert [each["id"] for each in after["records"]] == [each["id"] for each in before["records"]]
    assert (await portal.control("calls")).json["total"] == 0
    assert (await portal.get(CONTACTS)).status == 200
    assert (await portal.developer("GET", "subscriptions")).json["results"] == []


async def test_the_same_seed_gives_the_same_portal(make_portal):
    one, two, other = make_portal(records=50), make_portal(records=50), make_portal(seed=2)
    shown = [(await each.control("records/contacts")).raw for each in (one, two)]

    assert shown[0] == shown[1]
    assert one.simulator.credentials == two.simulator.credentials
    assert one.simulator.credentials != other.simulator.credentials


async def test_an_unknown_control_endpoint_lists_those_that_exist(portal):
    answer = await portal.control("recordz/contacts")

    assert answer.status == 404
    assert "POST /_sandbox/edit" in answer.json["error"]
