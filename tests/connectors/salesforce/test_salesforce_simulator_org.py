"""The Salesforce simulator: login, limits, descriptions, a person's edits, seed data."""

import asyncio
import base64
from collections import Counter

import pytest

DATA = "/services/data/v60.0"
TOKEN = "/services/oauth2/token"


def app(org, **fields):
    secrets = org.simulator.credentials
    return {
        "client_id": secrets["client_id"],
        "client_secret": secrets["client_secret"],
        **fields,
    }


async def test_versions_are_listed_without_login(org):
    answer = await org.call("GET", "/services/data/", token="wrong")

    assert answer.status == 200
    spring = {"label": "Spring '24", "url": DATA, "version": "60.0"}
    assert spring in answer.body
    assert answer.body[-1]["label"] == "Summer '26"
    winter = next(item for item in answer.body if item["version"] == "62.0")
    assert winter["label"] == "Winter '25"


async def test_a_retired_version_is_gone_and_an_unknown_one_not_found(org):
    assert (await org.call("GET", "/services/data/v20.0/limits")).status == 410
    for version in ("v99.0", "v60", "60.0", "vx.0"):
        assert (await org.call("GET", f"/services/data/{version}/limits")).status == 404


async def test_another_supported_version_shows_itself_in_urls(org):
    row_id = await org.create(LastName="x")

    answer = await org.call("GET", f"/services/data/v62.0/sobjects/Contact/{row_id}")

    assert answer.body["attributes"]["url"].startswith("/services/data/v62.0/")


async def test_a_call_without_a_session_is_a_401_list_and_counts_nothing(org):
    for headers in ({"Authorization": "Bearer wrong"}, {"Authorization": "x"}):
        answer = await org.get("/limits", headers)
        assert answer.status == 401
        assert answer.body == [
            {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
        ]
    assert (await org.get("/limits")).headers["sforce-limit-info"] == "api-usage=1/100000"


async def test_client_credentials_open_a_session(org):
    answer = await org.form(TOKEN, app(org, grant_type="client_credentials"))

    reply = answer.body
    assert answer.status == 200
    assert reply["instance_url"] == org.simulator.credentials["instance_url"]
    assert reply["token_type"] == "Bearer"
    assert reply["issued_at"] == "1772355600000"
    assert "expires_in" not in reply
    assert "refresh_token" not in reply
    org.token = reply["access_token"]
    assert (await org.get("/limits")).status == 200


async def test_the_client_may_be_named_by_basic_authentication(org):
    secrets = org.simulator.credentials
    pair = f"{secrets['client_id']}:{secrets['client_secret']}".encode()
    header = {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    good = await org.form(TOKEN, {"grant_type": "client_credentials"}, header)
    bad = await org.form(TOKEN, {"grant_type": "client_credentials"}, {"Authorization": "Basic !"})

    assert (good.status, bad.status) == (200, 400)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"client_id": "x"}, "invalid_client_id"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
)
async def test_a_refused_grant_is_an_oauth_object(org, wrong, error):
    answer = await org.form(TOKEN, app(org, grant_type="client_credentials") | wrong)

    assert answer.status == 400
    assert answer.body["error"] == error
    assert answer.body["error_description"]


async def test_an_idle_session_ends_and_use_keeps_it_alive(org):
    for _ in range(3):
        await asyncio.sleep(7000)
        assert (await org.get("/limits")).status == 200
    await asyncio.sleep(7201)
    assert (await org.get("/limits")).code == "INVALID_SESSION_ID"

    refresh = app(
        org,
        grant_type="refresh_token",
        refresh_token=org.simulator.credentials["refresh_token"],
    )
    org.token = (await org.form(TOKEN, refresh)).body["access_token"]
    assert (await org.get("/limits")).status == 200


async def test_a_rotated_refresh_token_dies_with_its_use(new_org):
    org = new_org(rotates_refresh_tokens=True)
    first = org.simulator.credentials["refresh_token"]
    refresh = app(org, grant_type="refresh_token", refresh_token=first)

    renewed = (await org.form(TOKEN, refresh)).body["refresh_token"]
    again = await org.form(TOKEN, refresh)
    next_one = await org.form(TOKEN, refresh | {"refresh_token": renewed})

    assert (again.status, again.body["error"]) == (400, "invalid_grant")
    assert next_one.status == 200


async def test_a_revoked_token_opens_nothing(org):
    assert (await org.form("/services/oauth2/revoke", {"token": org.token})).status == 200

    assert (await org.get("/limits")).status == 401
    assert (await org.form("/services/oauth2/revoke", {"token": "x"})).status == 400


async def test_a_client_can_find_out_which_org_it_is(org):
    info = await org.call("GET", "/services/oauth2/userinfo")
    (row,) = await org.rows("SELECT Id, Name FROM Organization")
    refused = await org.call("GET", "/services/oauth2/userinfo", token="wrong")

    assert info.body["organization_id"] == row["Id"]
    assert row["Id"].startswith("00D")
    assert org.token.startswith(row["Id"][:15])
    assert (refused.status, refused.text) == (403, "Bad_OAuth_Token")


async def test_the_daily_limit_slides_over_24_hours(new_org):
    org = new_org(daily_limit=3, session_timeout_s=10**6)
    for used in (1, 2, 3):
        answer = await org.get("/limits")
        assert answer.headers["sforce-limit-info"] == f"api-usage={used}/3"
        await asyncio.sleep(3600)
    assert answer.body["DailyApiRequests"] == {"Max": 3, "Remaining": 0}

    over = await org.get("/limits")
    assert over.status == 403
    assert over.headers["sforce-limit-info"] == "api-usage=3/3"
    assert over.body == [
        {"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}
    ]
    await asyncio.sleep(22 * 3600)
    assert (await org.get("/limits")).status == 200


async def test_faults_speak_as_the_platform_does(org):
    async def struck(kind, **more):
        await org.sandbox("POST", "faults", {"faults": [{"kind": kind, "count": 1, **more}]})
        return await org.get("/limits")

    assert (await struck("rate_limit")).code == "REQUEST_LIMIT_EXCEEDED"
    assert (await struck("expired_token")).code == "INVALID_SESSION_ID"
    down = await struck("server_error")
    assert (down.status, down.code) == (503, "SERVER_UNAVAILABLE")
    assert (await struck("server_error", status=500)).code == "UNKNOWN_EXCEPTION"
    assert (await struck("server_error", status=502)).text.startswith("<html>")


async def test_describe_says_what_a_contact_is(org):
    answer = await org.get("/sobjects/Contact/describe/")

    fields = {field["name"]: field for field in answer.body["fields"]}
    required = [
        name
        for name, field in fields.items()
        if field["createable"] and not field["nillable"] and not field["defaultedOnCreate"]
    ]
    assert required == ["LastName"]
    assert fields["Email"]["type"] == "email"
    assert fields["Email"]["idLookup"] is True
    assert fields["Email"]["unique"] is False
    assert fields["Hub_Key__c"]["externalId"] is True
    assert fields["Hub_Key__c"]["unique"] is True
    assert fields["SystemModstamp"]["createable"] is False
    assert fields["AccountId"]["referenceTo"] == ["Account"]
    assert fields["AccountId"]["relationshipName"] == "Account"
    header = {"If-Modified-Since": answer.headers["last-modified"]}
    assert (await org.get("/sobjects/Contact/describe", header)).status == 304


async def test_the_org_lists_its_objects_and_resources(org):
    listed = (await org.get("/sobjects/")).body
    summary = (await org.get("/sobjects/Contact")).body

    assert listed["maxBatchSize"] == 200
    prefixes = {item["name"]: item["keyPrefix"] for item in listed["sobjects"]}
    assert prefixes["Contact"] == "003"
    assert prefixes["Case"] == "500"
    assert summary["objectDescribe"]["name"] == "Contact"
    assert (await org.get("/")).body["query"] == f"{DATA}/query"


async def test_a_method_that_a_path_does_not_have_is_405(org):
    answer = await org.call("PUT", f"{DATA}/sobjects/Contact", {})

    assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")


async def test_a_person_edits_and_an_automation_moves_the_system_modstamp_alone(org):
    row_id = await org.create(LastName="x")
    await asyncio.sleep(60)
    edit = {"resource": "contacts", "id": row_id, "fields": {"Title": " Countess "}}

    await org.sandbox("POST", "edit", edit)
    edited = await org.contact(row_id)
    await asyncio.sleep(60)
    await org.sandbox("POST", "edit", {**edit, "source": "AUTOMATION"})
    touched = await org.contact(row_id)

    assert edited["Title"] == "Countess"
    assert edited["LastModifiedDate"] == edited["SystemModstamp"]
    assert touched["LastModifiedDate"] == edited["LastModifiedDate"]
    assert touched["SystemModstamp"] > edited["SystemModstamp"]


async def test_a_persons_edit_follows_the_platforms_rules(org):
    answer = await org.sandbox(
        "POST", "edit", {"resource": "Contact", "fields": {"FirstName": "x"}}
    )

    assert answer.status == 400
    assert answer.body["code"] == "REQUIRED_FIELD_MISSING"
    assert (
        await org.sandbox("POST", "edit", {"resource": "contacts", "id": "x", "delete": True})
    ).status == 404


async def test_a_merge_sends_the_loser_to_the_bin_with_its_master_and_moves_children(org):
    winner, loser = [await org.create(LastName=name) for name in ("w", "l")]
    case = await org.create("Case", Subject="s", ContactId=loser)
    await asyncio.sleep(60)

    merged = await org.sandbox(
        "POST", "edit", {"resource": "contacts", "id": winner, "merge": loser}
    )

    assert merged.body["record"]["id"] == winner
    rows = await org.rows(
        "SELECT Id, IsDeleted, MasterRecordId, SystemModstamp FROM Contact", "queryAll"
    )
    assert [(row["Id"], row["IsDeleted"], row["MasterRecordId"]) for row in rows] == [
        (winner, False, None),
        (loser, True, winner),
    ]
    assert rows[0]["SystemModstamp"] == rows[1]["SystemModstamp"]
    assert rows[0]["SystemModstamp"] == "2026-03-01T09:01:00.000+0000"
    assert (await org.get(f"/sobjects/Case/{case}")).body["ContactId"] == winner
    deals = await org.sandbox("POST", "edit", {"resource": "deals", "id": winner, "merge": loser})
    assert deals.status == 404


async def test_the_bin_gives_a_row_back_with_its_id_or_loses_it_for_good(org):
    row_id = await org.create(LastName="x")
    edit = {"resource": "contacts", "id": row_id}

    await org.sandbox("POST", "edit", {**edit, "delete": True})
    await org.sandbox("POST", "edit", {**edit, "fields": {"IsDeleted": False}})
    assert (await org.contact(row_id))["IsDeleted"] is False

    for _ in range(2):
        await org.sandbox("POST", "edit", {**edit, "delete": True})
    assert await org.rows("SELECT Id FROM Contact", "queryAll") == []


async def test_the_control_endpoint_shows_records_with_the_platforms_fields(org):
    kept, gone = [await org.create(LastName=name) for name in "ab"]
    await org.delete(f"/sobjects/Contact/{gone}")

    living = (await org.sandbox("GET", "records/contacts")).body
    every = (await org.sandbox("GET", "records/Contact?deleted=true")).body

    (record,) = living["records"]
    assert record["id"] == kept
    assert record["fields"]["LastName"] == "a"
    assert record["modified_at"] == "2026-03-01T09:00:00.000Z"
    assert [item["deleted"] for item in every["records"]] == [False, True]


async def test_calls_are_counted_by_template(org):
    row_id = await org.create(LastName="x")
    await org.contact(row_id)
    await org.contact(row_id)

    counted = (await org.sandbox("GET", "calls")).body

    assert {
        "method": "GET",
        "path": "/services/data/{version}/sobjects/{object}/{id}",
        "status": 200,
        "count": 2,
    } in counted["calls"]


async def test_a_reset_brings_back_the_seeded_state_and_keeps_the_credentials(new_org):
    org = new_org(records=20, seed=3)
    before = await org.rows("SELECT Id, Email FROM Contact")
    await org.create(LastName="x")
    first = (await org.sandbox("POST", "reset")).body

    assert first["records"]["contacts"] == 20
    assert await org.rows("SELECT Id, Email FROM Contact") == before


async def test_seeded_people_look_as_the_platform_would_have_kept_them(new_org):
    org = new_org(records=400, seed=3)

    rows = await org.rows("SELECT LastName, Email, CreatedDate, Account.Name FROM Contact")

    emails = [row["Email"] for row in rows if row["Email"]]
    assert len(rows) == 400
    assert all(row["LastName"] == row["LastName"].strip() for row in rows)
    assert any(email != email.lower() for email in emails)
    assert max(Counter(email.lower() for email in emails).values()) > 1
    assert len({row["CreatedDate"] for row in rows}) > 300
    assert any(row["Account"] for row in rows)


async def test_loaded_columns_may_have_our_names(org, tmp_path):
    from dovetail.simulator_sdk.load import load_file

    path = tmp_path / "salesforce-contacts.csv"
    path.write_text("first_name,LastName,email,city\nAda,Byron,Ada@x.org,London\n")

    assert load_file(path, [org.simulator]) == 1

    (row,) = await org.rows("SELECT FirstName, LastName, Email, MailingCity FROM Contact")
    assert (row["FirstName"], row["Email"], row["MailingCity"]) == ("Ada", "Ada@x.org", "London")


async def test_the_edge_refuses_without_a_word(org):
    faults = [{"kind": "server_error", "status": status, "count": 1} for status in (406, 420)]
    await org.sandbox("POST", "faults", {"faults": faults})
    answers = [await org.get("/limits"), await org.get("/limits")]

    assert [(answer.status, answer.text) for answer in answers] == [(406, ""), (420, "")]
