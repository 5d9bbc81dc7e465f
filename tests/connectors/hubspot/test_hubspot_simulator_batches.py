"""Batch calls: sizes, partial failure by trace id, keys."""

CONTACTS = "/crm/v3/objects/contacts"


def row(id_property, id, trace=None, **properties):
    made = {"idProperty": id_property, "id": id, "properties": properties}
    return made if trace is None else {**made, "objectWriteTraceId": trace}


async def test_reading_many_names_what_is_missing_in_a_207(portal):
    id = await portal.add(email="ada@example.com", phone="1")
    whole = await portal.batch("read", {"id": id}, properties=["phone"], propertiesWithHistory=[])
    part = await portal.batch("read", {"id": id}, {"id": "999"}, properties=["phone"])

    assert whole.status == 200
    assert whole.json["results"][0]["properties"]["phone"] == "1"
    assert "numErrors" not in whole.json
    assert part.status == 207
    assert part.ids == [id]
    assert part.json["numErrors"] == 1
    assert part.json["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert part.json["errors"][0]["context"] == {"ids": ["999"]}


async def test_reading_many_by_address(portal):
    id = await portal.add(email="ada@example.com")
    found = await portal.batch("read", {"id": "ADA@example.com"}, idProperty="email")
    refused = await portal.batch("read", {"id": "x"}, idProperty="firstname")

    assert found.ids == [id]
    assert refused.status == 400


async def test_a_batch_has_at_most_a_hundred_inputs_and_fifty_with_history(portal):
    many = [{"id": str(number)} for number in range(101)]

    assert (await portal.batch("read", *many)).status == 400
    assert (await portal.batch("read", *many[:100])).status == 207
    with_history = await portal.batch("read", *many[:51], propertiesWithHistory=["email"])
    assert with_history.status == 400
    assert (await portal.batch("create", *[{"properties": {}}] * 101)).status == 400


async def test_the_same_id_twice_in_a_batch_is_refused(portal):
    id = await portal.add(email="ada@example.com")
    twice = {"id": id, "properties": {"phone": "1"}}

    assert (await portal.batch("update", twice, twice)).status == 400
    one, two = row("email", "b@example.com"), row("email", "B@example.com")
    assert (await portal.batch("upsert", one, two)).status == 400


async def test_with_trace_ids_each_bad_row_has_its_own_error(portal):
    id = await portal.add(email="ada@example.com")
    answer = await portal.batch(
        "create",
        {"properties": {"email": "b@example.com"}, "objectWriteTraceId": "r1"},
        {"properties": {"email": "ada@example.com"}, "objectWriteTraceId": "r2"},
        {"properties": {"email": "nonsense"}, "objectWriteTraceId": "r3"},
    )
    errors = {each["context"]["objectWriteTraceId"][0]: each for each in answer.json["errors"]}

    assert answer.status == 207
    assert answer.json["status"] == "COMPLETE"
    assert [each["objectWriteTraceId"] for each in answer.json["results"]] == ["r1"]
    assert answer.json["numErrors"] == 2
    assert errors["r2"]["category"] == "CONFLICT"
    assert errors["r2"]["message"].endswith(f"Existing ID: {id}")
    assert errors["r3"]["category"] == "VALIDATION_ERROR"


async def test_without_trace_ids_one_bad_row_fails_all_and_nothing_is_written(portal):
    good, bad = {"properties": {"email": "b@example.com"}}, {"properties": {"email": "bad"}}
    twins = [good, {"properties": {"email": "B@example.com"}}]

    assert (await portal.batch("create", good, bad)).status == 400
    assert (await portal.batch("create", *twins)).status == 400
    assert (await portal.get(CONTACTS)).ids == []


async def test_repeated_trace_ids_do_not_enable_partial_failure(portal):
    good = {"properties": {"email": "b@example.com"}, "objectWriteTraceId": "same"}
    bad = {"properties": {"email": "bad"}, "objectWriteTraceId": "same"}

    assert (await portal.batch("create", good, bad)).status == 400


async def test_creating_many_answers_201(portal):
    answer = await portal.batch("create", {"properties": {"email": "b@example.com"}})

    assert answer.status == 201
    assert set(answer.json) == {"status", "results", "startedAt", "completedAt"}


async def test_updating_many_by_id(portal):
    id = await portal.add(email="ada@example.com")
    answer = await portal.batch(
        "update",
        {"id": id, "properties": {"phone": "2"}, "objectWriteTraceId": "a"},
        {"id": "999", "properties": {"phone": "2"}, "objectWriteTraceId": "b"},
    )

    assert answer.status == 207
    assert answer.json["results"][0]["properties"]["phone"] == "2"
    assert answer.json["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert answer.json["errors"][0]["context"] == {"objectWriteTraceId": ["b"]}


async def test_updating_many_by_address_is_refused(portal):
    await portal.add(email="ada@example.com")
    answer = await portal.batch("update", row("email", "ada@example.com", phone="1"))

    assert answer.status == 400


async def test_upsert_says_what_is_new(portal):
    id = await portal.add(email="ada@example.com", phone="1")
    answer = await portal.batch(
        "upsert",
        row("email", "Ada@example.com", "a", firstname="Ada"),
        row("email", "bob@example.com", "b", firstname="Bob"),
    )
    by_trace = {each["objectWriteTraceId"]: each for each in answer.json["results"]}
    kept = await portal.get(f"{CONTACTS}/{id}", properties="phone")

    assert answer.status == 200
    assert (by_trace["a"]["id"], by_trace["a"]["new"]) == (id, False)
    assert by_trace["b"]["new"] is True
    assert kept.json["properties"]["phone"] == "1"


async def test_upsert_by_a_property_that_is_not_unique_is_refused(portal):
    refused = await portal.batch("upsert", row("hs_object_id", "1", firstname="A"))
    company = await portal.post(
        "/crm/v3/objects/companies/batch/upsert",
        {"inputs": [row("domain", "example.com", name="Acme")]},
    )

    assert refused.status == 400
    assert company.json["message"] == (
        "Unable to perform update/upsert by non-unique 0-2 property domain"
    )


async def test_archiving_many_ignores_what_does_not_exist(portal):
    id = await portal.add(email="ada@example.com")

    assert (await portal.batch("archive", {"id": id}, {"id": "999"})).status == 204
    assert (await portal.get(CONTACTS)).ids == []
