"""The Salesforce connector, against answers written down from Salesforce's documentation."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Account, Records, Webhooks
from dovetail.connector_sdk.http import Api
from dovetail.connector_sdk.limits import MemoryBudgetStore, StoredBudget
from dovetail.connector_sdk.record import Write
from dovetail.connector_sdk.registry import connector_class
from dovetail.connectors.salesforce import Salesforce
from dovetail.connectors.salesforce.contact import long_id, value_of
from dovetail.core import json
from dovetail.core.clock import LoopClock
from dovetail.core.transport import HttpResponse, TransportError
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
    UnsupportedCapabilityError,
)

DATA = "/services/data/v60.0"
COLLECTION = f"{DATA}/composite/sobjects"
CONTACTS = Salesforce.resource("contacts")
FIELDS = ("LastName", "Email")
SINCE = datetime(2026, 3, 1, 15, 0, tzinfo=UTC)
DESCRIBE = {
    "name": "Contact",
    "fields": [
        {"name": "Id", "type": "id", "createable": False, "updateable": False},
        {"name": "LastName", "type": "string", "createable": True, "updateable": True},
        {"name": "FirstName", "type": "string", "createable": True, "updateable": True},
        {"name": "Email", "type": "email", "createable": True, "updateable": True},
        {"name": "Phone", "type": "phone", "createable": True, "updateable": True},
        {"name": "Score__c", "type": "double", "createable": True, "updateable": False},
        {"name": "Opt__c", "type": "boolean", "createable": False, "updateable": True},
        {
            "name": "Hub_Key__c",
            "type": "string",
            "createable": True,
            "updateable": True,
            "externalId": True,
            "unique": True,
        },
    ],
}


class Script:
    """A transport that answers in the order in which it was told, and keeps what it was asked."""

    def __init__(self):
        self.answers = []
        self.asked = []

    def then(self, body=None, status=200, headers=None):
        self.answers.append((status, body, headers or {}))
        return self

    def lose(self):
        self.answers.append(None)
        return self

    async def send(self, request):
        self.asked.append(request)
        assert self.answers, f"not expected: {request.method} {request.url}"
        answer = self.answers.pop(0)
        if answer is None:
            raise TransportError("connection lost", sent=True)
        status, body, headers = answer
        return HttpResponse(
            status=status, headers=headers, body=b"" if body is None else json.encode(body)
        )

    async def close(self):
        return None

    def path(self, number=-1):
        return urlsplit(self.asked[number].url).path

    def soql(self, number=-1):
        return parse_qs(urlsplit(self.asked[number].url).query)["q"][0]

    def body(self, number=-1):
        return json.decode(self.asked[number].body)

    @property
    def methods(self):
        return [request.method for request in self.asked]


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def connect(script):
    def build(**settings):
        clock = LoopClock()
        budget = StoredBudget(
            store=MemoryBudgetStore(),
            account="salesforce:00D",
            limits=Salesforce.limits,
            clock=clock,
            remaining_header=Salesforce.remaining,
        )
        api = Api(
            platform="salesforce",
            title="Salesforce",
            base_url="https://acme.my.salesforce.com",
            auth=Salesforce.auth,
            credentials=Credentials({"access_token": "00D5e000000abcd!AQcA"}),
            transport=script,
            budget=budget,
            clock=clock,
            error_rules=Salesforce.error_rules,
            explain=Salesforce.explain,
            settings=settings,
        )
        return Salesforce(api)

    return build


@pytest.fixture
def salesforce(connect):
    return connect()


def id_of(number):
    return f"0035e{number:010d}AAA"


def stamp(second):
    return f"2026-03-01T15:{second // 60:02d}:{second % 60:02d}.000+0000"


def row(number, second=0, **more):
    return {
        "attributes": {"type": "Contact"},
        "Id": id_of(number),
        "IsDeleted": False,
        "MasterRecordId": None,
        "CreatedDate": stamp(0),
        "SystemModstamp": stamp(second),
        "LastName": "Byron",
        "Email": f"p{number}@example.com",
        **more,
    }


def page(*rows, locator=None, total=None):
    body = {"totalSize": total or len(rows), "done": locator is None, "records": list(rows)}
    return body | ({"nextRecordsUrl": locator} if locator else {})


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


# --- what it declares


def test_it_is_found_by_its_name_and_has_no_webhooks(salesforce):
    assert connector_class("salesforce") is Salesforce
    assert isinstance(salesforce, Account)
    assert isinstance(salesforce, Records)
    assert not isinstance(salesforce, Webhooks)


@pytest.mark.parametrize(
    ("header", "left"),
    [
        ("api-usage=10018/100000", {"daily": 89982}),
        ("api-bursts=1/750; api-usage=10/100; per-app-api-usage=17/250(appName=x)", {"daily": 90}),
        ("api-usage=101/100", {"daily": 0}),
        ("", {}),
    ],
)
def test_the_calls_left_of_the_day_are_read_segment_by_segment(header, left):
    assert Salesforce.remaining({"sforce-limit-info": header}) == left


async def test_the_account_is_the_org(salesforce, script):
    script.then(page({"Id": "00D5e000000abcdEAA", "Name": "Acme"}))

    assert await salesforce.identify() == "00D5e000000abcdEAA"


async def test_known_fields_are_those_that_can_be_written(salesforce, script):
    script.then(DESCRIBE)

    known = await salesforce.known_fields(CONTACTS)

    assert {"LastName", "Score__c", "Opt__c"} <= known
    assert "Id" not in known


async def test_the_version_is_a_setting(connect, script):
    script.then(page())

    await connect(api_version="62.0").read_page(CONTACTS, FIELDS, None)

    assert script.path() == "/services/data/v62.0/queryAll"


# --- reading changes


async def test_the_first_reading_asks_for_everything_and_tells_the_total(salesforce, script):
    script.then(page(row(1, 5), row(2, 9), total=2))

    read = await salesforce.read_page(CONTACTS, FIELDS, None)

    assert script.soql() == (
        "SELECT Id,IsDeleted,MasterRecordId,CreatedDate,SystemModstamp,LastName,Email FROM Contact "
        "ORDER BY SystemModstamp ASC, Id ASC"
    )
    assert [record.id for record in read.records] == [id_of(1), id_of(2)]
    assert read.records[0].fields == {"LastName": "Byron", "Email": "p1@example.com"}
    assert read.records[0].modified_at == SINCE + timedelta(seconds=5)
    assert read.records[0].created_at == SINCE
    assert (read.more, read.total) == (False, 2)
    assert read.cursor["watermark"] == "2026-03-01T15:00:09.000Z"


async def test_the_overlap_is_asked_for_again_but_only_what_changed_is_returned(salesforce, script):
    script.then(page(row(1, 100), row(2, 130)))
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    script.then(page(row(3, 90), row(1, 100), row(2, 131)))

    second = await salesforce.read_page(CONTACTS, FIELDS, json.decode(json.encode(first.cursor)))

    assert "WHERE SystemModstamp >= 2026-03-01T15:01:10.000Z ORDER" in script.soql()
    assert [record.id for record in second.records] == [id_of(3), id_of(2)]


async def test_a_quiet_org_keeps_its_watermark(salesforce, script):
    cursor = salesforce.cursor_at(CONTACTS, SINCE)
    script.then(page())

    read = await salesforce.read_page(CONTACTS, FIELDS, cursor)

    assert "SystemModstamp >= 2026-03-01T14:59:00.000Z" in script.soql()
    assert read.cursor == cursor


async def test_what_was_seen_is_kept_for_the_overlap_alone(salesforce, script):
    script.then(page(row(1, 10), row(2, 100), row(3, 140)))

    read = await salesforce.read_page(CONTACTS, FIELDS, None)

    assert set(read.cursor["seen"]) == {id_of(2), id_of(3)}


async def test_deleted_and_merged_rows_are_tombstones(salesforce, script):
    script.then(page(row(1, IsDeleted=True), row(2, IsDeleted=True, MasterRecordId=id_of(9))))

    gone, merged = (await salesforce.read_page(CONTACTS, FIELDS, None)).records

    assert (gone.deleted, gone.merged_into) == (True, None)
    assert (merged.deleted, merged.merged_into) == (True, id_of(9))


async def test_pages_are_followed_by_their_locator(salesforce, script):
    locator = f"{DATA}/query/0r8xx-2000"
    script.then(page(row(1, 1), locator=locator, total=2)).then(page(row(2, 2)))
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    script.then(page(row(2, 2), total=2))

    last = await salesforce.read_page(CONTACTS, FIELDS, first.cursor)

    assert (first.more, last.more) == (True, False)
    assert script.path() == locator
    assert last.cursor["locator"] is None


async def test_a_row_that_changes_between_pages_does_not_move_the_watermark(salesforce, script):
    script.then(page(row(1, 1), locator=f"{DATA}/query/0r8xx-1")).then(page(row(3, 200)))
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    # Row 2 was touched after the query began; others may have been, too, that it does not have.
    script.then(page(row(2, 900), row(3, 200)))

    last = await salesforce.read_page(CONTACTS, FIELDS, first.cursor)

    assert [record.id for record in last.records] == [id_of(2), id_of(3)]
    assert last.cursor["watermark"] == "2026-03-01T15:03:20.000Z"


@pytest.mark.parametrize("status", [400, 404])
async def test_after_a_locator_has_expired_it_goes_on_where_it_was(salesforce, script, status):
    script.then(page(row(1, 90), row(2, 100), locator=f"{DATA}/query/0r8xx-2")).then(
        page(row(9, 300))
    )
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    script.then(errors("INVALID_QUERY_LOCATOR", "invalid query locator"), status)
    script.then(page(row(1, 90), row(2, 100), row(3, 101)))

    second = await salesforce.read_page(CONTACTS, FIELDS, first.cursor)

    assert "WHERE SystemModstamp >= 2026-03-01T15:00:40.000Z" in script.soql()
    assert [record.id for record in second.records] == [id_of(3)]


async def test_more_fields_than_an_address_holds_are_read_by_id(salesforce, script):
    wide = [f"Field_with_a_name_that_is_long_{number:04d}__c" for number in range(400)]
    script.then(page(row(1), row(2, IsDeleted=True)))
    script.then([row(1, **dict.fromkeys(wide, "x"))])

    read = await salesforce.read_page(CONTACTS, wide, None)

    assert len(script.asked[0].url) < 16_000
    assert script.body()["ids"] == [id_of(1)]
    assert read.records[0].fields[wide[-1]] == "x"
    assert read.records[1].deleted


# --- reading by id and by value


async def test_missing_and_deleted_rows_are_none_and_2000_ids_make_a_call(salesforce, script):
    ids = [id_of(number) for number in range(2001)]
    script.then([row(0), None, row(2, IsDeleted=True), *[row(n) for n in range(3, 2000)]])
    script.then([row(2000)])

    found = await salesforce.read_many(CONTACTS, ids, FIELDS)

    assert [len(script.body(number)["ids"]) for number in (0, 1)] == [2000, 1]
    assert script.path() == f"{COLLECTION}/Contact"
    assert found[1] is None
    assert found[2] is None
    assert found[2000].id == id_of(2000)
    assert found[0].id == id_of(0)


async def test_what_cannot_be_an_id_is_not_asked_for(salesforce, script):
    assert await salesforce.read_many(CONTACTS, ["x'y", ""], FIELDS) == [None, None]
    assert not script.asked


@pytest.mark.parametrize(
    ("short", "long"),
    [("0035e00000AbCdE", "0035e00000AbCdEAAV"), ("001A0000006Vm9r", "001A0000006Vm9rIAC")],
)
def test_a_short_id_is_completed(short, long):
    assert long_id(short) == long
    assert long_id(long) == long


async def test_values_are_escaped_and_matched_whatever_their_case(salesforce, script):
    script.then(
        page(row(1, Email="ADA.O'NEIL@example.com"), row(2, Email="ada.o'neil@example.com"))
    )

    found = await salesforce.find_many(
        CONTACTS, "Email", [" Ada.O'Neil@example.com", "b\\@x.io", ""], FIELDS
    )

    assert r"Email IN ('ada.o\'neil@example.com','b\\@x.io')" in script.soql()
    assert script.path() == f"{DATA}/query"
    assert [one.id for one in found.pop(" Ada.O'Neil@example.com")] == [id_of(1), id_of(2)]
    assert not found


async def test_many_values_are_asked_in_addresses_that_salesforce_takes(salesforce, script):
    values = [f"someone+{'x' * 40}{number}@example.com" for number in range(1000)]
    for number in range(7):
        script.then(page(row(number, Email=values[number * 140])))

    found = await salesforce.find_many(CONTACTS, "Email", values, FIELDS)

    assert all(len(request.url) < 16_000 for request in script.asked)
    asked = [part for n in range(len(script.asked)) for part in script.soql(n).split("'")[1::2]]
    assert asked == values
    assert len(found) == len(script.asked)


async def test_a_field_that_is_no_name_is_refused_before_any_call(salesforce, script):
    with pytest.raises(UnsupportedCapabilityError, match="cannot be a field"):
        await salesforce.find_many(CONTACTS, "Id != null OR Name", ["x"], FIELDS)
    assert not script.asked


# --- writing


async def test_each_kind_of_write_is_one_call_and_all_are_read_back_in_one(salesforce, script):
    script.then(DESCRIBE).then([ok(1), ok(2)]).then([ok(3)]).then([ok(4)])
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
    salesforce, script, answer, kind, facts
):
    script.then(DESCRIBE).then([answer, ok(2)]).then([row(2)])

    failed, done = await salesforce.write(
        CONTACTS, [update(1, LastName="X"), update(2, LastName="Y")], FIELDS
    )

    assert type(failed.error) is kind
    assert {name: getattr(failed.error, name) for name in facts} == facts
    assert done.record.id == id_of(2)


async def test_a_reference_to_nothing_is_no_missing_record_when_it_is_a_create(salesforce, script):
    script.then(DESCRIBE).then([bad("INVALID_CROSS_REFERENCE_KEY")])

    (result,) = await salesforce.write(CONTACTS, [create("a")], FIELDS)

    assert type(result.error) is RecordInvalidError


async def test_when_the_whole_call_is_refused_only_the_bad_row_fails(salesforce, script):
    refusal = errors("JSON_PARSER_ERROR", "Cannot deserialize instance of double")
    script.then(DESCRIBE).then(refusal, 400)
    script.then([ok(1), ok(2)])
    script.then(refusal, 400).then(refusal, 400).then([ok(4)])
    script.then([row(1), row(2), row(4)])

    results = await salesforce.write(CONTACTS, [create(key) for key in "abcd"], FIELDS)

    assert [result.id for result in results] == [id_of(1), id_of(2), None, id_of(4)]
    assert isinstance(results[2].error, RecordInvalidError)
    assert results[2].error.platform_code == "JSON_PARSER_ERROR"


async def test_values_go_out_in_the_json_type_of_their_field(salesforce, script):
    script.then(DESCRIBE).then([ok(1)]).then([row(1)])
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


async def test_values_that_would_be_refused_are_not_sent(salesforce, script):
    script.then(DESCRIBE).then([ok(2)]).then([row(2)])
    writes = [create("a", Score__c="many", Nope__c=1), create("b")]

    refused, done = await salesforce.write(CONTACTS, writes, FIELDS)

    assert set(refused.error.fields) == {"Score__c", "Nope__c"}
    assert done.id == id_of(2)
    assert len(script.body(1)["records"]) == 1


async def test_a_create_whose_answer_is_lost_has_an_unknown_outcome(salesforce, script):
    script.then(DESCRIBE).lose()

    with pytest.raises(OutcomeUnknownError):
        await salesforce.write(CONTACTS, [create("a")], FIELDS)


async def test_after_one_kind_was_written_the_trouble_of_another_is_told_by_row(salesforce, script):
    script.then(DESCRIBE).then([ok(1)]).then(errors("UNABLE_TO_LOCK_ROW"), 400).then([row(1)])

    done, failed = await salesforce.write(CONTACTS, [create("a"), update(2, LastName="X")], FIELDS)

    assert done.record.id == id_of(1)
    assert type(failed.error) is TransientError


async def test_when_the_limit_is_reached_nothing_more_is_sent(salesforce, script):
    script.then(DESCRIBE).then([ok(1)]).then(errors("REQUEST_LIMIT_EXCEEDED", "Total"), 403)

    results = await salesforce.write(
        CONTACTS, [create("a"), update(2, LastName="X"), delete(3)], FIELDS
    )

    assert script.methods == ["GET", "POST", "PATCH"]
    assert (results[0].id, results[0].error) == (id_of(1), None)
    assert [type(result.error) for result in results[1:]] == [RateLimitedError] * 2


async def test_when_nothing_was_applied_the_whole_write_is_refused(salesforce, script):
    script.then(DESCRIBE).then(errors("INVALID_SESSION_ID"), 401)

    with pytest.raises(AuthenticationError):
        await salesforce.write(CONTACTS, [create("a"), delete(3)], FIELDS)

    assert script.methods == ["GET", "POST"]


async def test_writes_that_cannot_be_read_back_are_done_all_the_same(salesforce, script):
    script.then(DESCRIBE).then([ok(1)]).then(errors("SERVER_UNAVAILABLE"), 503)

    (result,) = await salesforce.write(CONTACTS, [create("a")], FIELDS)

    assert (result.id, result.created, result.error) == (id_of(1), True, None)
    assert result.record.fields == {}


# --- an external id


async def test_with_an_external_id_creates_are_upserts_by_our_key(connect, script):
    script.then(DESCRIBE).then([ok(1, created=True), ok(2, created=False)])
    script.then([row(1), row(2)])

    results = await connect(external_id_field="Hub_Key__c").write(
        CONTACTS, [create("k-1"), create("k-2")], FIELDS
    )

    assert script.asked[1].method == "PATCH"
    assert script.path(1) == f"{COLLECTION}/Contact/Hub_Key__c"
    assert [record["Hub_Key__c"] for record in script.body(1)["records"]] == ["k-1", "k-2"]
    assert [result.created for result in results] == [True, False]


async def test_with_an_external_id_a_lost_create_may_be_repeated(connect, script):
    salesforce = connect(external_id_field="Hub_Key__c")
    script.then(DESCRIBE).lose()

    with pytest.raises(PlatformUnavailableError):
        await salesforce.write(CONTACTS, [create("k-1")], FIELDS)

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
async def test_a_wrong_external_id_field_is_refused_with_what_to_do(connect, script, name, why):
    script.then(DESCRIBE)

    with pytest.raises(ConfigError, match=why):
        await connect(external_id_field=name).prepare(CONTACTS)


async def test_a_right_external_id_field_is_accepted(connect, script):
    script.then(DESCRIBE)

    await connect(external_id_field="Hub_Key__c").prepare(CONTACTS)

    assert script.path() == f"{DATA}/sobjects/Contact/describe"


# --- lost creates


async def test_lost_creates_are_looked_up_by_what_they_sent(salesforce, script):
    named = Write(action="create", key="n", fields={"LastName": "O'Neil", "Phone": "12"})
    bare = Write(action="create", key="x", fields={"FirstName": "Ada"})
    script.then(
        page(
            row(1, Email="ADA@example.com", FirstName=None, Phone=None),
            row(2, Email=None, LastName="O'Neil", FirstName=None, Phone="12"),
        )
    )

    found = await salesforce.look_up(
        CONTACTS, [create("e", Email="ada@example.com"), named, bare], SINCE, FIELDS
    )

    assert (
        "WHERE CreatedDate >= 2026-03-01T14:55:00.000Z AND (Email = 'ada@example.com' OR "
        r"(LastName = 'O\'Neil' AND FirstName = null AND Phone = '12'))"
    ) in script.soql()
    assert [one and one.id for one in found] == [id_of(1), id_of(2), None]


async def test_a_found_record_serves_one_create_the_one_that_it_resembles_most(salesforce, script):
    shared = {"Email": "info@example.com"}
    creates = [
        Write(action="create", key=name, fields={"LastName": name, **shared})
        for name in ("Byron", "Ohm", "Third")
    ]
    script.then(page(row(1, **shared, LastName="Ohm"), row(2, **shared, LastName="Byron")))

    found = await salesforce.look_up(CONTACTS, creates, SINCE, FIELDS)

    assert [one and one.id for one in found] == [id_of(2), id_of(1), None]


# --- errors of whole calls


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, errors("INVALID_SESSION_ID", "Session expired or invalid"), AuthenticationError),
        (403, errors("INVALID_SESSION_ID"), AuthenticationError),
        (400, errors("UNABLE_TO_LOCK_ROW"), TransientError),
        (503, errors("SERVER_UNAVAILABLE"), PlatformUnavailableError),
        (420, None, PlatformUnavailableError),
        (406, None, PlatformUnavailableError),
        (404, errors("ENTITY_IS_DELETED", fields=[]), RecordNotFoundError),
        (400, errors("MALFORMED_QUERY"), RecordInvalidError),
        (400, {"error": "invalid_grant", "error_description": "expired"}, RecordInvalidError),
    ],
)
async def test_errors_mean_what_salesforce_says(salesforce, script, status, body, kind):
    script.then(body, status)

    with pytest.raises(kind) as caught:
        await salesforce.identify()

    assert type(caught.value) is kind
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("message", "wait"),
    [
        ("TotalRequests Limit exceeded.", 900),
        ("ConcurrentRequests (Concurrent API Requests) Limit exceeded.", 60),
    ],
)
async def test_a_limit_is_a_403_and_waits_long(salesforce, script, message, wait):
    script.then(errors("REQUEST_LIMIT_EXCEEDED", message), 403)

    with pytest.raises(RateLimitedError) as caught:
        await salesforce.identify()

    assert caught.value.retry_after_s == wait


async def test_a_missing_column_is_named(salesforce, script):
    script.then(errors("INVALID_FIELD", "No such column 'Foo__c' on entity 'Contact'"), 400)

    with pytest.raises(RecordInvalidError) as caught:
        await salesforce.read_page(CONTACTS, ["Foo__c"], None)

    assert list(caught.value.fields) == ["Foo__c"]
