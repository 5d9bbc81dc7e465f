"""The Salesforce simulator: one row at a time."""

import asyncio
from urllib.parse import quote

import pytest


async def test_a_created_row_answers_201_with_an_18_character_id_and_can_be_read(org):
    answer = await org.post("/sobjects/Contact/", {"LastName": "Byron", "FirstName": "Ada"})

    assert answer.status == 201
    assert answer.body == {"id": answer.body["id"], "success": True, "errors": []}
    row = await org.contact(answer.body["id"])
    assert len(row["Id"]) == 18
    assert row["Id"].startswith("003")
    assert row["Name"] == "Ada Byron"
    assert row["IsDeleted"] is False
    assert row["attributes"] == {
        "type": "Contact",
        "url": f"/services/data/v60.0/sobjects/Contact/{row['Id']}",
    }


async def test_the_15_character_form_of_an_id_finds_the_same_row_and_its_case_matters(org):
    for _ in range(40):
        row_id = await org.create(LastName="x")

    assert (await org.contact(row_id[:15]))["Id"] == row_id
    assert (await org.contact(row_id.lower()))["Id"] == row_id
    swapped = row_id[:15].swapcase()
    assert (await org.get(f"/sobjects/Contact/{swapped}")).status == 404


async def test_a_read_can_choose_fields_and_always_brings_the_id(org):
    row_id = await org.create(LastName="Byron", Email="Ada@Example.com")

    answer = await org.get(f"/sobjects/Contact/{row_id}?fields=Email,lastname")

    assert set(answer.body) == {"attributes", "Id", "Email", "LastName"}
    unknown = await org.get(f"/sobjects/Contact/{row_id}?fields=Nope")
    assert (unknown.status, unknown.code) == (400, "INVALID_FIELD")


async def test_text_is_trimmed_blank_becomes_null_and_email_keeps_its_case(org):
    row_id = await org.create(
        LastName="  Byron ", FirstName="   ", Email=" Ada.B@Example.COM ", Phone="(415) 555 "
    )

    row = await org.contact(row_id)

    assert row["LastName"] == "Byron"
    assert row["FirstName"] is None
    assert row["Email"] == "Ada.B@Example.COM"
    assert row["Phone"] == "(415) 555"


async def test_an_update_changes_only_what_is_sent_and_null_clears(org):
    row_id = await org.create(LastName="Byron", Title="Countess", MailingCity="London")

    answer = await org.patch(f"/sobjects/Contact/{row_id}", {"Title": None})

    assert (answer.status, answer.text) == (204, "")
    row = await org.contact(row_id)
    assert row["Title"] is None
    assert row["MailingCity"] == "London"
    assert row["MailingAddress"]["city"] == "London"


@pytest.mark.parametrize(
    ("fields", "code", "blamed"),
    [
        ({"FirstName": "Ada"}, "REQUIRED_FIELD_MISSING", ["LastName"]),
        ({"LastName": "  "}, "REQUIRED_FIELD_MISSING", ["LastName"]),
        ({"LastName": "x" * 81}, "STRING_TOO_LONG", ["LastName"]),
        ({"LastName": "x", "Email": "ada@"}, "INVALID_EMAIL_ADDRESS", ["Email"]),
        ({"LastName": "x", "Email": "a b@c.de"}, "INVALID_EMAIL_ADDRESS", ["Email"]),
        ({"LastName": "x", "Nope__c": "y"}, "INVALID_FIELD", None),
        ({"LastName": "x", "Name": "y"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Name"]),
        (
            {"LastName": "x", "CreatedDate": "2026-01-01T00:00:00Z"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            ["CreatedDate"],
        ),
        ({"LastName": "x", "AccountId": "nonsense"}, "MALFORMED_ID", ["AccountId"]),
        (
            {"LastName": "x", "AccountId": "0015e00000XyZaB"},
            "INVALID_CROSS_REFERENCE_KEY",
            ["AccountId"],
        ),
        ({"LastName": "x", "DoNotCall": None}, "INVALID_TYPE_ON_FIELD_IN_RECORD", ["DoNotCall"]),
        ({"LastName": 7}, "JSON_PARSER_ERROR", None),
        ({"LastName": "x", "DoNotCall": "maybe"}, "JSON_PARSER_ERROR", None),
        ({"LastName": "x", "Birthdate": "2026-02-30"}, "JSON_PARSER_ERROR", None),
        ({"LastName": "x", "Id": "0035e00000AbCdE"}, "INVALID_FIELD", None),
    ],
)
async def test_a_value_that_breaks_a_rule_is_refused_with_the_code_and_the_field(
    org, fields, code, blamed
):
    answer = await org.post("/sobjects/Contact", fields)

    assert answer.status == 400
    (error,) = answer.body
    assert error["errorCode"] == code
    assert error.get("fields") == blamed
    assert await org.rows("SELECT Id FROM Contact") == []


@pytest.mark.parametrize("employees", ["many", "nan", "1e999", 1.5, True, [], 10**400])
async def test_what_is_not_a_whole_number_is_refused(org, employees):
    answer = await org.post("/sobjects/Account", {"Name": "x", "NumberOfEmployees": employees})

    assert (answer.status, answer.code) == (400, "JSON_PARSER_ERROR")


async def test_numbers_may_be_written_as_text(org):
    row_id = await org.create("Account", Name="x", NumberOfEmployees="12", AnnualRevenue="1.5")

    row = (await org.get(f"/sobjects/Account/{row_id}")).body
    assert (row["NumberOfEmployees"], row["AnnualRevenue"]) == (12, 1.5)


async def test_messages_read_as_the_platform_writes_them(org):
    missing = await org.post("/sobjects/Contact", {})
    long = await org.post("/sobjects/Contact", {"LastName": "x", "FirstName": "y" * 41})

    assert missing.body[0]["message"] == "Required fields are missing: [LastName]"
    assert long.body[0]["message"].startswith("First Name: data value too large: yyy")
    assert long.body[0]["message"].endswith("(max length=40)")


async def test_a_restricted_picklist_takes_only_its_values():
    from dovetail.simulators.salesforce.field import Field
    from dovetail.simulators.salesforce.refusal import SalesforceError
    from dovetail.simulators.salesforce.value import clean

    level = Field("Level__c", "picklist", length=40, picklist=("Gold",), restricted=True)

    assert clean(level, "Gold") == "Gold"
    with pytest.raises(SalesforceError) as refused:
        clean(level, "Lead")
    assert refused.value.code == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"


async def test_a_body_that_is_not_a_json_object_is_refused(org):
    for body in (b"{", b"[]", b'"x"'):
        assert (await org.post("/sobjects/Contact", body)).code == "JSON_PARSER_ERROR"
    wrong = await org.post("/sobjects/Contact", b"a=b", {"Content-Type": "text/plain"})
    assert wrong.status == 415


async def test_a_deleted_row_cannot_be_read_changed_or_deleted_again(org):
    row_id = await org.create(LastName="Byron")

    assert (await org.delete(f"/sobjects/Contact/{row_id}")).status == 204

    read = await org.get(f"/sobjects/Contact/{row_id}")
    assert (read.status, read.code) == (404, "NOT_FOUND")
    for again in (
        await org.patch(f"/sobjects/Contact/{row_id}", {"Title": "x"}),
        await org.delete(f"/sobjects/Contact/{row_id}"),
    ):
        assert again.status == 404
        assert again.body == [
            {"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}
        ]


async def test_an_unknown_row_object_or_path_is_a_404_list(org):
    for path in (
        "/sobjects/Contact/0035e00000AbCdEAAV",
        "/sobjects/Contact/0015e00000AbCdEAAV",
        "/sobjects/Contact/nonsense",
        "/sobjects/Nothing/0035e00000AbCdEAAV",
        "/nothing",
    ):
        answer = await org.get(path)
        assert (answer.status, answer.code) == (404, "NOT_FOUND"), path


async def test_stored_times_have_whole_seconds_and_system_fields_move(org):
    await asyncio.sleep(0.7)
    row_id = await org.create(LastName="Byron")
    created = await org.contact(row_id)
    await asyncio.sleep(10)

    await org.patch(f"/sobjects/Contact/{row_id}", {"LastName": "Byron"})

    row = await org.contact(row_id)
    assert created["CreatedDate"] == created["SystemModstamp"] == "2026-03-01T09:00:00.000+0000"
    assert row["CreatedDate"] == created["CreatedDate"]
    assert row["SystemModstamp"] == row["LastModifiedDate"] == "2026-03-01T09:00:10.000+0000"


async def test_a_conditional_update_is_refused_when_the_row_changed_since(org):
    row_id = await org.create(LastName="Byron")
    read = await org.get(f"/sobjects/Contact/{row_id}")
    seen = read.headers["last-modified"]
    path = f"/sobjects/Contact/{row_id}"

    same = await org.patch(path, {"Title": "a"}, {"If-Unmodified-Since": seen})
    await asyncio.sleep(5)
    await org.patch(path, {"Title": "b"})
    stale = await org.patch(path, {"Title": "c"}, {"If-Unmodified-Since": seen})
    bad = await org.patch(path, {"Title": "c"}, {"If-Unmodified-Since": "yesterday"})

    assert seen == "Sun, 01 Mar 2026 09:00:00 GMT"
    assert (same.status, stale.status, bad.status) == (204, 412, 400)
    assert (await org.contact(row_id))["Title"] == "b"


async def test_a_conditional_read_answers_304_until_the_row_changes(org):
    row_id = await org.create(LastName="Byron")
    path = f"/sobjects/Contact/{row_id}"
    header = {"If-Modified-Since": (await org.get(path)).headers["last-modified"]}

    before = await org.get(path, header)
    await asyncio.sleep(5)
    await org.patch(path, {"Title": "b"})
    after = await org.get(path, header)

    assert (before.status, before.text, after.status) == (304, "", 200)


async def test_only_accounts_have_tags_and_a_stale_tag_is_refused(org):
    path = f"/sobjects/Account/{await org.create('Account', Name='Acme')}"
    person = f"/sobjects/Contact/{await org.create(LastName='x')}"
    tag = (await org.get(path)).headers["etag"]

    unchanged = await org.get(path, {"If-None-Match": tag})
    fresh = await org.patch(path, {"Name": "Acme 2"}, {"If-Match": tag})
    stale = await org.patch(path, {"Name": "Acme 3"}, {"If-Match": tag})
    stale_delete = await org.delete(path, {"If-Match": tag})

    assert (unchanged.status, fresh.status) == (304, 204)
    assert (stale.status, stale_delete.status) == (412, 412)
    assert "etag" not in (await org.get(person)).headers
    assert (await org.patch(person, {"Title": "y"}, {"If-Match": tag})).status == 204


async def test_an_upsert_creates_then_updates_the_row_of_its_key(org):
    path = f"/sobjects/Contact/Hub_Key__c/{quote('crm/77 81', safe='')}"

    created = await org.patch(path, {"LastName": "Byron"})
    updated = await org.patch(path, {"Title": "Countess"})

    assert (created.status, created.body["created"]) == (201, True)
    assert (updated.status, updated.body["created"]) == (200, False)
    assert updated.body["id"] == created.body["id"]
    row = (await org.get(path)).body
    assert (row["Hub_Key__c"], row["Title"]) == ("crm/77 81", "Countess")


async def test_an_upsert_refuses_the_key_in_the_body_and_an_unknown_key_field(org):
    path = "/sobjects/Contact/Hub_Key__c/k1"

    assert (await org.patch(path, {"LastName": "x", "Hub_Key__c": "k1"})).code == "INVALID_FIELD"
    assert (await org.patch("/sobjects/Contact/Title/x", {"LastName": "x"})).status == 404
    assert (await org.patch("/sobjects/Contact/Nope__c/x", {"LastName": "x"})).status == 404


async def test_an_upsert_that_may_only_update_creates_nothing(org):
    answer = await org.patch("/sobjects/Contact/Hub_Key__c/k1?updateOnly=true", {"LastName": "x"})

    assert answer.status == 404
    assert await org.rows("SELECT Id FROM Contact") == []


async def test_an_upsert_with_several_matches_answers_300_with_their_urls_and_writes_nothing(org):
    ids = [await org.create(LastName="x", Email="Ada@Example.com") for _ in range(2)]

    answer = await org.patch("/sobjects/Contact/Email/ada@example.com", {"Title": "y"})

    assert answer.status == 300
    assert answer.body == [f"/services/data/v60.0/sobjects/Contact/{i}" for i in ids]
    assert (await org.contact(ids[0]))["Title"] is None


async def test_an_address_in_the_path_is_lost_when_it_ends_like_a_file(org):
    answer = await org.patch("/sobjects/Contact/Email/ada@acme.inc", {"LastName": "x"})

    assert answer.status == 404


async def test_a_unique_key_cannot_be_held_by_two_living_rows(org):
    first = await org.create(LastName="x", Hub_Key__c="K1")

    answer = await org.post("/sobjects/Contact", {"LastName": "y", "Hub_Key__c": "k1"})
    await org.delete(f"/sobjects/Contact/{first}")
    after = await org.post("/sobjects/Contact", {"LastName": "y", "Hub_Key__c": "k1"})

    assert answer.code == "DUPLICATE_VALUE"
    assert first in answer.body[0]["message"]
    assert after.status == 201


async def test_a_row_can_be_related_by_the_key_of_its_parent(org):
    account = await org.create("Account", Name="Acme", Hub_Key__c="acc-1")

    row_id = await org.create(LastName="x", Account={"Hub_Key__c": "acc-1"})
    unknown = await org.post(
        "/sobjects/Contact", {"LastName": "x", "Account": {"Hub_Key__c": "acc-2"}}
    )

    assert (await org.contact(row_id))["AccountId"] == account
    assert unknown.code == "INVALID_FIELD"


async def test_an_org_has_no_external_id_field_unless_it_is_added(new_org):
    org = new_org()

    answer = await org.post("/sobjects/Contact", {"LastName": "x", "Hub_Key__c": "1"})

    assert answer.code == "INVALID_FIELD"
    assert (await org.patch("/sobjects/Contact/Hub_Key__c/1", {"LastName": "x"})).status == 404


async def test_a_duplicate_rule_questions_a_known_address_until_the_caller_insists(new_org):
    org = new_org(has_duplicate_rule=True)
    first = await org.create(LastName="Byron", Email="ada@example.com")
    twin = {"LastName": "Byron", "Email": "ADA@example.com"}

    questioned = await org.post("/sobjects/Contact", twin)
    saved = await org.post(
        "/sobjects/Contact", twin, {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    )

    (error,) = questioned.body
    assert (questioned.status, error["errorCode"]) == (400, "DUPLICATES_DETECTED")
    found = error["duplicateResut"]["matchResults"][0]["matchRecords"]
    assert [match["record"]["Id"] for match in found] == [first]
    assert saved.status == 201


async def test_without_a_duplicate_rule_two_rows_may_share_an_address(org):
    for _ in range(2):
        await org.create(LastName="x", Email="ada@example.com")


async def test_a_locked_row_is_refused_and_stays_as_it_was(org):
    row_id = await org.create(LastName="Byron")
    await org.sandbox("POST", "faults", {"faults": [{"kind": "row_lock", "count": 1}]})

    locked = await org.patch(f"/sobjects/Contact/{row_id}", {"Title": "x"})
    retried = await org.patch(f"/sobjects/Contact/{row_id}", {"Title": "x"})

    assert (locked.status, locked.code) == (400, "UNABLE_TO_LOCK_ROW")
    assert row_id in locked.body[0]["message"]
    assert retried.status == 204


async def test_stage_and_status_drive_what_the_platform_derives(org):
    deal = await org.create(
        "Opportunity", Name="d", StageName="Closed Won", CloseDate="2026-03-31", Amount=12.5
    )
    case = await org.create("Case", Subject="s", Status="Closed")

    shown = (await org.get(f"/sobjects/Opportunity/{deal}")).body
    closed = (await org.get(f"/sobjects/Case/{case}")).body
    assert (shown["IsClosed"], shown["IsWon"], shown["Amount"]) == (True, True, 12.5)
    assert closed["IsClosed"] is True
    assert closed["CaseNumber"] == "00001001"
