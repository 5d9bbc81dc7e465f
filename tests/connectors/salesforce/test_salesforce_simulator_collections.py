"""The Salesforce simulator: many rows, or many calls, in one call."""

import asyncio

import pytest

DATA = "/services/data/v60.0"
COLLECTION = "/composite/sobjects"


def contact(**fields):
    return {"attributes": {"type": "Contact"}, **fields}


async def test_a_collection_creates_rows_in_order_and_a_bad_row_fails_alone(org):
    rows = [contact(LastName="a"), contact(FirstName="no last name"), contact(LastName="c")]

    answer = await org.post(COLLECTION, {"allOrNone": False, "records": rows})

    assert answer.status == 200
    first, bad, last = answer.body
    assert (first["success"], last["success"]) == (True, True)
    assert bad == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [LastName]",
                "fields": ["LastName"],
            }
        ],
    }
    assert (await org.contact(last["id"]))["LastName"] == "c"


async def test_all_or_none_writes_nothing_and_tells_the_others_why(org):
    rows = [contact(LastName="a"), contact()]

    answer = await org.post(COLLECTION, {"allOrNone": True, "records": rows})

    codes = [result["errors"][0]["statusCode"] for result in answer.body]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert await org.rows("SELECT Id FROM Contact") == []


async def test_all_or_none_restores_rows_that_were_updated_before_the_bad_one(org):
    row_id = await org.create(LastName="before", Email="a@example.com")
    before = await org.contact(row_id)
    await asyncio.sleep(60)
    rows = [contact(id=row_id, LastName="after", Email="b@example.com"), contact(LastName="x")]

    await org.patch(COLLECTION, {"allOrNone": True, "records": rows})

    assert await org.contact(row_id) == before
    assert len(await org.rows("SELECT Id FROM Contact WHERE Email = 'a@example.com'")) == 1
    assert await org.rows("SELECT Id FROM Contact WHERE Email = 'b@example.com'") == []


async def test_all_or_none_restores_a_row_that_was_written_twice(org):
    row_id = await org.create(LastName="before")
    rows = [contact(id=row_id, LastName=name) for name in ("once", "twice")]

    await org.patch(COLLECTION, {"allOrNone": True, "records": [*rows, contact()]})

    assert (await org.contact(row_id))["LastName"] == "before"


async def test_a_value_of_the_wrong_json_kind_breaks_the_whole_collection(org):
    rows = [contact(LastName="a"), contact(LastName=7)]

    answer = await org.post(COLLECTION, {"records": rows})

    assert (answer.status, answer.code) == (400, "JSON_PARSER_ERROR")
    assert await org.rows("SELECT Id FROM Contact") == []


async def test_a_collection_update_answers_for_each_row(org):
    alive = await org.create(LastName="a")
    dead = await org.create(LastName="b")
    await org.delete(f"/sobjects/Contact/{dead}")
    rows = [
        contact(id=alive[:15], Title="x"),
        contact(id=dead, Title="x"),
        contact(id="0035e00000AbCdEAAV", Title="x"),
        contact(id="nonsense", Title="x"),
        contact(Title="x"),
    ]

    answer = await org.patch(COLLECTION, {"records": rows})

    assert answer.body[0] == {"id": alive, "success": True, "errors": []}
    assert [result["errors"][0]["statusCode"] for result in answer.body[1:]] == [
        "ENTITY_IS_DELETED",
        "INVALID_CROSS_REFERENCE_KEY",
        "MALFORMED_ID",
        "MISSING_ARGUMENT",
    ]
    assert (await org.contact(alive))["Title"] == "x"


async def test_a_collection_upsert_creates_and_updates_by_the_key_in_each_row(org):
    first = await org.create(LastName="a", Hub_Key__c="k1")
    rows = [
        contact(Hub_Key__c="K1", Title="x"),
        contact(Hub_Key__c="k2", LastName="b"),
        contact(LastName="c"),
        contact(Hub_Key__c="k3", LastName="c", id=first),
        contact(Hub_Key__c="k4", LastName="d"),
        contact(Hub_Key__c="K4", LastName="e"),
    ]

    answer = await org.patch(f"{COLLECTION}/Contact/Hub_Key__c", {"records": rows})

    updated, created, *refused = answer.body
    assert updated == {"id": first, "success": True, "errors": [], "created": False}
    assert created["created"] is True
    assert [result["errors"][0]["statusCode"] for result in refused] == [
        "MISSING_ARGUMENT",
        "INVALID_FIELD",
        "DUPLICATE_VALUE",
        "DUPLICATE_VALUE",
    ]


async def test_a_collection_upsert_by_email_refuses_an_ambiguous_address(org):
    for _ in range(2):
        await org.create(LastName="a", Email="ada@example.com")
    rows = [
        contact(Email="Ada@example.com", Title="x"),
        contact(Email="new@example.inc", LastName="b"),
    ]

    answer = await org.patch(f"{COLLECTION}/Contact/Email", {"records": rows})

    ambiguous, created = answer.body
    assert ambiguous["errors"][0]["statusCode"] == "DUPLICATE_EXTERNAL_ID"
    assert created["created"] is True


async def test_a_collection_upsert_by_id_creates_rows_without_one(org):
    first = await org.create(LastName="a")

    answer = await org.patch(
        f"{COLLECTION}/Contact/Id",
        {"records": [contact(id=first, Title="x"), contact(LastName="b")]},
    )

    assert [result["created"] for result in answer.body] == [False, True]


async def test_a_collection_upsert_needs_a_key_field_and_rows_of_its_type(org):
    unknown = await org.patch(f"{COLLECTION}/Contact/Nope__c", {"records": []})
    mixed = await org.patch(
        f"{COLLECTION}/Contact/Hub_Key__c",
        {"records": [{"attributes": {"type": "Account"}, "Name": "x", "Hub_Key__c": "1"}]},
    )

    assert (unknown.status, unknown.code) == (404, "NOT_FOUND")
    assert mixed.body[0]["errors"][0]["statusCode"] == "INVALID_TYPE"


async def test_a_collection_delete_answers_for_each_id(org):
    row_id = await org.create(LastName="a")

    answer = await org.delete(f"{COLLECTION}?ids={row_id},{row_id},nonsense&allOrNone=false")

    assert answer.body[0] == {"id": row_id, "success": True, "errors": []}
    codes = [result["errors"][0]["statusCode"] for result in answer.body[1:]]
    assert codes == ["ENTITY_IS_DELETED", "MALFORMED_ID"]


async def test_a_collection_read_keeps_the_order_and_shows_missing_rows_as_null(org):
    first, second = [await org.create(LastName=name) for name in "ab"]
    body = {"ids": [second, "0035e00000AbCdEAAV", first], "fields": ["LastName"]}

    posted = await org.post(f"{COLLECTION}/Contact", body)
    got = await org.get(f"{COLLECTION}/Contact?ids={second},0035e00000AbCdEAAV&fields=LastName")

    assert [row and row["LastName"] for row in posted.body] == ["b", None, "a"]
    assert [row and row["LastName"] for row in got.body] == ["b", None]
    unknown = await org.post(f"{COLLECTION}/Contact", {"ids": [first], "fields": ["Nope"]})
    assert unknown.code == "INVALID_FIELD"


async def test_collections_have_limits(org):
    rows = [contact(LastName="x")] * 201
    types = ["Contact", "Account"] * 6
    mixed = [{"attributes": {"type": kind}, "LastName": "x", "Name": "x"} for kind in types]

    assert (await org.post(COLLECTION, {"records": rows})).code == "EXCEEDED_ID_LIMIT"
    read = await org.post(f"{COLLECTION}/Contact", {"ids": ["x"] * 2001, "fields": ["Id"]})
    assert read.code == "EXCEEDED_ID_LIMIT"
    assert (await org.post(COLLECTION, {"records": mixed})).status == 400
    assert (await org.post(COLLECTION, {"records": rows[:200]})).status == 200
    assert await org.rows("SELECT Id FROM Account") == []


async def test_a_record_without_a_type_breaks_the_call_and_an_unknown_type_only_its_row(org):
    untyped = await org.post(COLLECTION, {"records": [{"LastName": "x"}]})
    unknown = await org.post(
        COLLECTION, {"records": [{"attributes": {"type": "Nothing"}}, contact(LastName="x")]}
    )

    assert untyped.status == 400
    assert unknown.body[0]["errors"][0]["statusCode"] == "INVALID_TYPE"
    assert unknown.body[1]["success"] is True


async def test_a_lock_hits_single_rows_of_a_collection(org):
    ids = [await org.create(LastName=name) for name in "abc"]
    await org.sandbox("POST", "faults", {"faults": [{"kind": "row_lock", "count": 1}]})

    answer = await org.patch(
        COLLECTION, {"records": [contact(id=row_id, Title="x") for row_id in ids]}
    )

    assert [result["success"] for result in answer.body] == [False, True, True]
    assert answer.body[0]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"


async def test_composite_calls_use_results_of_earlier_ones(org):
    answer = await org.post(
        "/composite",
        {
            "allOrNone": True,
            "collateSubrequests": False,
            "compositeRequest": [
                {
                    "method": "POST",
                    "url": f"{DATA}/sobjects/Account",
                    "referenceId": "refA",
                    "body": {"Name": "Acme"},
                },
                {
                    "method": "POST",
                    "url": f"{DATA}/sobjects/Contact",
                    "referenceId": "refB",
                    "body": {"LastName": "Byron", "AccountId": "@{refA.id}"},
                },
                {
                    "method": "GET",
                    "url": f"{DATA}/sobjects/Contact/@{{refB.id}}?fields=AccountId",
                    "referenceId": "refC",
                },
            ],
        },
    )

    assert answer.status == 200
    account, person, read = answer.body["compositeResponse"]
    assert [part["httpStatusCode"] for part in (account, person, read)] == [201, 201, 200]
    assert account["httpHeaders"]["Location"].endswith(account["body"]["id"])
    assert read["body"]["AccountId"] == account["body"]["id"]
    assert read["referenceId"] == "refC"


@pytest.mark.parametrize("is_atomic", [True, False])
async def test_a_failing_composite_is_still_200_and_all_or_none_undoes_it(org, is_atomic):
    def create(reference, **fields):
        return {
            "method": "POST",
            "url": f"{DATA}/sobjects/Contact",
            "referenceId": reference,
            "body": fields,
        }

    parts = [create("a", LastName="x"), create("b"), create("c", LastName="y")]

    answer = await org.post("/composite", {"allOrNone": is_atomic, "compositeRequest": parts})

    assert answer.status == 200
    shown = answer.body["compositeResponse"]
    assert [part["httpStatusCode"] for part in shown] == (
        [400, 400, 400] if is_atomic else [201, 400, 201]
    )
    assert shown[1]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    if is_atomic:
        assert shown[0]["body"][0]["errorCode"] == "PROCESSING_HALTED"
        assert shown[2]["body"][0]["errorCode"] == "PROCESSING_HALTED"
    rows = await org.rows("SELECT Id FROM Contact")
    assert len(rows) == (0 if is_atomic else 2)


async def test_a_write_that_a_query_of_the_same_composite_saw_is_undone_too(org):
    parts = [
        {
            "method": "POST",
            "url": f"{DATA}/sobjects/Contact",
            "referenceId": "write",
            "body": {"LastName": "x"},
        },
        {
            "method": "GET",
            "url": f"{DATA}/query?q=SELECT+COUNT()+FROM+Contact",
            "referenceId": "count",
        },
        {"method": "POST", "url": f"{DATA}/sobjects/Contact", "referenceId": "bad", "body": {}},
    ]

    going_on = await org.post("/composite", {"allOrNone": False, "compositeRequest": parts})
    undone = await org.post("/composite", {"allOrNone": True, "compositeRequest": parts})

    assert going_on.body["compositeResponse"][1]["body"]["totalSize"] == 1
    assert undone.body["compositeResponse"][0]["httpStatusCode"] == 400
    assert len(await org.rows("SELECT Id FROM Contact")) == 1


async def test_composite_refuses_a_reference_to_nothing_too_many_calls_and_bad_parts(org):
    def read(reference, url=f"{DATA}/limits"):
        return {"method": "GET", "url": url, "referenceId": reference}

    async def send(*parts):
        return await org.post("/composite", {"compositeRequest": list(parts)})

    dangling = await send(read("a", f"{DATA}/sobjects/Contact/@{{x.id}}"))
    assert dangling.body["compositeResponse"][0]["httpStatusCode"] == 400
    assert (await send(*(read(f"r{n}") for n in range(26)))).status == 400
    assert (await send(*(read(f"r{n}", f"{DATA}/query?q=x") for n in range(6)))).status == 400
    assert (await send(read("a"), read("a"))).status == 400
    assert (await send({"method": "GET", "url": DATA})).status == 400
    odd = await send({**read("a", "http://["), "httpHeaders": "x"})
    assert odd.body["compositeResponse"][0]["httpStatusCode"] == 404
    outside = await send(read("a", "/services/oauth2/userinfo"))
    assert outside.body["compositeResponse"][0]["httpStatusCode"] == 404


async def test_a_composite_counts_as_one_call_and_a_batch_as_many(org):
    parts = [{"method": "GET", "url": f"{DATA}/limits", "referenceId": f"r{n}"} for n in range(5)]

    first = await org.post("/composite", {"compositeRequest": parts})
    second = await org.post(
        "/composite/batch", {"batchRequests": [{"method": "GET", "url": "v60.0/limits"}] * 5}
    )

    assert first.headers["sforce-limit-info"] == "api-usage=1/100000"
    assert second.headers["sforce-limit-info"] == "api-usage=6/100000"


async def test_a_batch_runs_each_call_and_keeps_what_was_written(org):
    parts = [
        {"method": "POST", "url": "v60.0/sobjects/Contact", "richInput": {"LastName": "x"}},
        {"method": "POST", "url": "v60.0/sobjects/Contact", "richInput": {}},
        {"method": "GET", "url": "v60.0/limits"},
    ]

    going_on = await org.post("/composite/batch", {"haltOnError": False, "batchRequests": parts})
    halting = await org.post("/composite/batch", {"haltOnError": True, "batchRequests": parts})

    assert going_on.body["hasErrors"] is True
    assert [r["statusCode"] for r in going_on.body["results"]] == [201, 400, 200]
    assert [r["statusCode"] for r in halting.body["results"]] == [201, 400, 412]
    assert len(await org.rows("SELECT Id FROM Contact")) == 2


@pytest.mark.parametrize("collate", [None, True, False])
async def test_a_composite_keeps_its_order_only_when_told_so(org, collate):
    id = await org.create(LastName="Byron")
    path = f"/services/data/v60.0/sobjects/Contact/{id}"
    new = {"method": "POST", "url": "/services/data/v60.0/sobjects/Contact"}
    parts = [
        {"method": "GET", "url": path, "referenceId": "before"},
        {"method": "PATCH", "url": path, "referenceId": "change", "body": {"LastName": "King"}},
        {"method": "GET", "url": path, "referenceId": "after"},
        {**new, "referenceId": "child", "body": {"LastName": "X", "ReportsToId": "@{boss.id}"}},
        {**new, "referenceId": "boss", "body": {"LastName": "Y"}},
    ]
    body = {"compositeRequest": parts}
    if collate is not None:
        body["collateSubrequests"] = collate
    answers = (await org.post("/composite", body)).body["compositeResponse"]
    by_name = {answer["referenceId"]: answer for answer in answers}

    assert [answer["referenceId"] for answer in answers] == [part["referenceId"] for part in parts]
    kept = collate is False
    assert by_name["after"]["body"]["LastName"] == ("King" if kept else "Byron")
    assert by_name["child"]["httpStatusCode"] == (400 if kept else 201)
