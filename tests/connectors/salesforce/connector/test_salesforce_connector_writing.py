"""The Salesforce connector writes in collections, each row with its own outcome."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.salesforce import Salesforce
from dovetail.connectors.salesforce.value import value_of
from dovetail.errors import (
    AuthenticationError,
    ConfigError,
    OutcomeUnknownError,
    PlatformUnavailableError,
    RateLimitedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
    TransientError,
)

DATA = "/services/data/v60.0"
COLLECTION = f"{DATA}/composite/sobjects"
CONTACTS = Salesforce.resource("contacts")
FIELDS = ("LastName", "Email")
SINCE = datetime(2026, 3, 1, 15, 0, tzinfo=UTC)


def id_of(number):
    return f"0035e{number:010d}AAA"


def errors(code, message="no", **more):
    return [{"message": message, "errorCode": code, **more}]


def ok(number, **more):
    return {"id": id_of(number), "success": True, "errors": [], **more}


def bad(code, message="no", fields=(), **more):
    told = {"statusCode": code, "message": message, "fields": list(fields), **more}
    return {"success": False, "errors": [told]}


def create(key, **fields):
    return Write(action="create", key=key, fields={"LastName": "Byron", **fields})


def update(number, **fields):
    return Write(action="update", key=f"u{number}", id=id_of(number), fields=fields)


def delete(number):
    return Write(action="delete", key=f"d{number}", id=id_of(number))


# --- writing


async def test_each_kind_of_write_is_one_call_and_all_are_read_back_in_one(
    salesforce, script, row, described
):
    script.then(described).then([ok(1), ok(2)]).then([ok(3)]).then([ok(4)])
    script.then([row(1), row(2), row(3, Email="new@example.com")])
    writes = [create("a"), update(3, Email="NEW@example.com"), delete(4), create("b")]

    results = await salesforce.write(CONTACTS, writes, FIELDS)

    assert script.methods == ["GET", "POST", "PATCH", "DELETE", "POST"]
    assert script.body(1)["allOrNone"] is False
    assert script.body(2)["records"] == [
        {"attributes": {"type": "Contact"}, "Email": "NEW@example.com", "id": id_of(3)}
    ]
    assert script.asked[3].url.endswith(f"?ids={id_of(4)}&allOrNone=false")
    assert sorted(script.body(4)["ids"]) == [id_of(1), id_of(2), id_of(3)]
    assert [result.id for result in results] == [id_of(1), id_of(3), id_of(4), id_of(2)]
    assert [result.created for result in results] == [True, False, False, True]
    assert results[1].record.fields["Email"] == "new@example.com"
    assert results[2].record is None
    assert all(result.error is None for result in results)


MATCH = {"matchResults": [{"matchRecords": [{"record": {"Id": "0035e00000AbCdEAAV"}}]}]}


@pytest.mark.parametrize(
    ("answer", "kind", "facts"),
    [
        (
            bad("DUPLICATE_VALUE", "duplicates value on record with id: 0035e00000AbCdE"),
            RecordConflictError,
            {"existing_id": "0035e00000AbCdEAAV"},
        ),
        (
            bad("DUPLICATES_DETECTED", "Use one of these records?", duplicateResut=MATCH),
            RecordConflictError,
            {"existing_id": "0035e00000AbCdEAAV"},
        ),
        (
            bad("DUPLICATES_DETECTED", "Use one of these records?", duplicateResult=MATCH),
            RecordConflictError,
            {"existing_id": "0035e00000AbCdEAAV"},
        ),
        (bad("DUPLICATES_DETECTED"), RecordConflictError, {"existing_id": None}),
        (bad("UNABLE_TO_LOCK_ROW"), TransientError, {}),
        (
            bad("STRING_TOO_LONG", "too long", ["LastName"]),
            RecordInvalidError,
            {"fields": {"LastName": "too long"}},
        ),
        (bad("INVALID_EMAIL_ADDRESS", fields=["Email"]), RecordInvalidError, {}),
        (bad("ENTITY_IS_DELETED"), RecordNotFoundError, {}),
        (bad("INVALID_CROSS_REFERENCE_KEY", fields=["Id"]), RecordNotFoundError, {}),
        (bad("INVALID_CROSS_REFERENCE_KEY", fields=["AccountId"]), RecordInvalidError, {}),
        (None, OutcomeUnknownError, {}),
    ],
)
async def test_a_bad_row_has_its_own_error_and_its_neighbour_is_written(
    salesforce, script, answer, kind, facts, row, described
):
    script.then(described).then([answer, ok(2)]).then([row(2)])

    failed, done = await salesforce.write(
        CONTACTS, [update(1, LastName="X"), update(2, LastName="Y")], FIELDS
    )

    assert type(failed.error) is kind
    assert {name: getattr(failed.error, name) for name in facts} == facts
    assert done.record.id == id_of(2)


async def test_a_reference_to_nothing_is_no_missing_record_when_it_is_a_create(
    salesforce, script, described
):
    script.then(described).then([bad("INVALID_CROSS_REFERENCE_KEY")])

    (result,) = await salesforce.write(CONTACTS, [create("a")], FIELDS)

    assert type(result.error) is RecordInvalidError


async def test_when_the_whole_call_is_refused_only_the_bad_row_fails(
    salesforce, script, row, described
):
    refusal = errors("JSON_PARSER_ERROR", "Cannot deserialize instance of double")
    script.then(described).then(refusal, 400)
    script.then([ok(1), ok(2)])
    script.then(refusal, 400).then(refusal, 400).then([ok(4)])
    script.then([row(1), row(2), row(4)])

    results = await salesforce.write(CONTACTS, [create(key) for key in "abcd"], FIELDS)

    assert [result.id for result in results] == [id_of(1), id_of(2), None, id_of(4)]
    assert isinstance(results[2].error, RecordInvalidError)
    assert results[2].error.platform_code == "JSON_PARSER_ERROR"


async def test_values_go_out_in_the_json_type_of_their_field(salesforce, script, row, described):
    script.then(described).then([ok(1)]).then([row(1)])
    write = create("a", Phone=441234, Score__c=Decimal("12345678901234567.25"), Opt__c="true")

    await salesforce.write(CONTACTS, [write], FIELDS)

    assert b'"Phone":"441234"' in script.asked[1].body
    assert b'"Score__c":12345678901234567.25' in script.asked[1].body
    assert b'"Opt__c":true' in script.asked[1].body


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (None, "double", None),
        ("", "string", None),
        (True, "string", "true"),
        (["a", "b"], "multipicklist", "a;b"),
        (datetime(2026, 3, 1, 15, 4, tzinfo=UTC), "date", "2026-03-01"),
        ("2026-03-01T15:04:00Z", "date", "2026-03-01"),
        (datetime(2026, 3, 1, 15, 4, tzinfo=UTC), "datetime", "2026-03-01T15:04:00+00:00"),
        ("no", "boolean", False),
    ],
)
def test_a_value_becomes_what_its_field_takes(value, kind, told):
    assert value_of(value, kind) == told


async def test_values_that_would_be_refused_are_not_sent(salesforce, script, row, described):
    script.then(described).then([ok(2)]).then([row(2)])
    writes = [create("a", Score__c="many", Nope__c=1), create("b")]

    refused, done = await salesforce.write(CONTACTS, writes, FIELDS)

    assert set(refused.error.fields) == {"Score__c", "Nope__c"}
    assert done.id == id_of(2)
    assert len(script.body(1)["records"]) == 1


async def test_a_create_whose_answer_is_lost_has_an_unknown_outcome(salesforce, script, described):
    script.then(described).lose()

    with pytest.raises(OutcomeUnknownError):
        await salesforce.write(CONTACTS, [create("a")], FIELDS)


async def test_after_one_kind_was_written_the_trouble_of_another_is_told_by_row(
    salesforce, script, row, described
):
    script.then(described).then([ok(1)]).then(errors("UNABLE_TO_LOCK_ROW"), 400).then([row(1)])

    done, failed = await salesforce.write(CONTACTS, [create("a"), update(2, LastName="X")], FIELDS)

    assert done.record.id == id_of(1)
    assert type(failed.error) is TransientError


async def test_a_lock_that_refuses_a_whole_call_is_met_by_its_row_alone(
    salesforce, script, row, described
):
    locked = errors("UNABLE_TO_LOCK_ROW")
    script.then(described).then(locked, 400).then(locked, 400).then([ok(2)]).then([row(2)])

    failed, done = await salesforce.write(
        CONTACTS, [update(1, LastName="X"), update(2, LastName="Y")], FIELDS
    )

    assert [len(script.body(number)["records"]) for number in (1, 2, 3)] == [2, 1, 1]
    assert type(failed.error) is TransientError
    assert done.record.id == id_of(2)


async def test_when_the_limit_is_reached_nothing_more_is_sent(salesforce, script, described):
    script.then(described).then([ok(1)]).then(errors("REQUEST_LIMIT_EXCEEDED", "Total"), 403)

    results = await salesforce.write(
        CONTACTS, [create("a"), update(2, LastName="X"), delete(3)], FIELDS
    )

    assert script.methods == ["GET", "POST", "PATCH"]
    assert (results[0].id, results[0].error) == (id_of(1), None)
    assert [type(result.error) for result in results[1:]] == [RateLimitedError] * 2


async def test_when_nothing_was_applied_the_whole_write_is_refused(salesforce, script, described):
    script.then(described).then(errors("INVALID_SESSION_ID"), 401)

    with pytest.raises(AuthenticationError):
        await salesforce.write(CONTACTS, [create("a"), delete(3)], FIELDS)

    assert script.methods == ["GET", "POST"]


async def test_writes_that_cannot_be_read_back_are_done_all_the_same(salesforce, script, described):
    script.then(described).then([ok(1)]).then(errors("SERVER_UNAVAILABLE"), 503)

    (result,) = await salesforce.write(CONTACTS, [create("a")], FIELDS)

    assert (result.id, result.created, result.error) == (id_of(1), True, None)
    assert result.record.fields == {}


# --- an external id


async def test_with_an_external_id_creates_are_upserts_by_our_key(connect, script, row, described):
    script.then(described).then([ok(1, created=True), ok(2, created=False)])
    script.then([row(1), row(2)])

    results = await connect(external_id_field="Hub_Key__c").write(
        CONTACTS, [create("k-1"), create("k-2")], FIELDS
    )

    assert script.asked[1].method == "PATCH"
    assert script.path(1) == f"{COLLECTION}/Contact/Hub_Key__c"
    assert [record["Hub_Key__c"] for record in script.body(1)["records"]] == ["k-1", "k-2"]
    assert [result.created for result in results] == [True, False]


async def test_with_an_external_id_a_lost_create_may_be_repeated(
    connect, script, row, page, described
):
    salesforce = connect(external_id_field="Hub_Key__c")
    script.then(described).lose()

    with pytest.raises(PlatformUnavailableError):
        await salesforce.write(CONTACTS, [create("k-1")], FIELDS)

    script.then({"records": [], "done": True})  # no bulk jobs
    script.then(page(row(1, Hub_Key__c="k-1")))
    found = await salesforce.look_up(CONTACTS, [create("k-1"), create("k-2")], SINCE, FIELDS)
    assert "Hub_Key__c IN ('k-1','k-2')" in script.soql()
    assert [one and one.id for one in found] == [id_of(1), None]


async def test_a_connection_without_the_setting_needs_no_preparation(salesforce, script):
    await salesforce.prepare(CONTACTS)

    assert not script.asked


@pytest.mark.parametrize(
    ("name", "why"), [("Nope__c", "does not exist"), ("LastName", "not a unique external id")]
)
async def test_a_wrong_external_id_field_is_refused_with_what_to_do(
    connect, script, name, why, described
):
    script.then(described)

    with pytest.raises(ConfigError, match=why):
        await connect(external_id_field=name).prepare(CONTACTS)


async def test_a_right_external_id_field_is_accepted(connect, script, described):
    script.then(described)

    await connect(external_id_field="Hub_Key__c").prepare(CONTACTS)

    assert script.path() == f"{DATA}/sobjects/Contact/describe"
