"""The Salesforce simulator: queries, their pages, and reading changes."""

import asyncio
from urllib.parse import quote

import pytest

RECENT = "SELECT Id, LastName FROM Contact WHERE SystemModstamp >= 2026-03-01T09:00:00Z"


async def make(org, count):
    rows = [{"attributes": {"type": "Contact"}, "LastName": f"n{n:04d}"} for n in range(count)]
    ids = []
    for start in range(0, count, 200):
        body = {"records": rows[start : start + 200]}
        answer = await org.post("/composite/sobjects", body)
        ids.extend(result["id"] for result in answer.body)
    return ids


async def test_a_query_answers_rows_with_their_type_and_url(org):
    row_id = await org.create(LastName="Byron")

    answer = await org.query("select ID, lastname from contact where name = 'byron'")

    assert answer.body == {
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {
                    "type": "Contact",
                    "url": f"/services/data/v60.0/sobjects/Contact/{row_id}",
                },
                "Id": row_id,
                "LastName": "Byron",
            }
        ],
    }


async def test_pages_follow_locators_without_loss_or_repeat_and_the_last_has_none(org):
    ids = await make(org, 450)

    answer = await org.query("SELECT Id FROM Contact", {"Sforce-Query-Options": "batchSize=200"})

    seen, sizes = [], []
    while True:
        page = answer.body
        assert page["totalSize"] == 450
        seen += [row["Id"] for row in page["records"]]
        sizes.append(len(page["records"]))
        if page["done"]:
            break
        answer = await org.call("GET", page["nextRecordsUrl"])
    assert "nextRecordsUrl" not in page
    assert sizes == [200, 200, 50]
    assert seen == ids


@pytest.mark.parametrize(("count", "pages"), [(0, [0]), (200, [200]), (400, [200, 200])])
async def test_full_pages_leave_no_empty_one_behind(org, count, pages):
    await make(org, count)
    answer = await org.query("SELECT Id FROM Contact", {"Sforce-Query-Options": "batchSize=200"})
    sizes = [len(answer.body["records"])]

    while not answer.body["done"]:
        answer = await org.call("GET", answer.body["nextRecordsUrl"])
        sizes.append(len(answer.body["records"]))

    assert sizes == pages


async def test_a_page_has_2000_rows_unless_asked_and_never_fewer_than_200(org):
    await make(org, 2001)

    usual = await org.query("SELECT Id FROM Contact")
    small = await org.query("SELECT Id FROM Contact", {"Sforce-Query-Options": "batchSize=1"})

    assert len(usual.body["records"]) == 2000
    assert usual.body["nextRecordsUrl"].endswith("-2000")
    assert len(small.body["records"]) == 200


async def test_a_locator_shows_the_rows_as_they_were_and_dies_after_two_days(org):
    ids = await make(org, 201)
    page = await org.query("SELECT Id FROM Contact", {"Sforce-Query-Options": "batchSize=200"})
    locator = page.body["nextRecordsUrl"]
    await org.delete(f"/sobjects/Contact/{ids[-1]}")

    alive = await org.call("GET", locator)
    await asyncio.sleep(2 * 24 * 3600 + 1)
    org.token = (await log_in(org)).body["access_token"]
    dead = await org.call("GET", locator)

    assert [row["Id"] for row in alive.body["records"]] == [ids[-1]]
    assert (dead.status, dead.code) == (400, "INVALID_QUERY_LOCATOR")
    assert (await org.get("/query/nonsense-200")).code == "INVALID_QUERY_LOCATOR"


async def log_in(org):
    secrets = org.simulator.credentials
    return await org.form(
        "/services/oauth2/token",
        {
            "grant_type": "client_credentials",
            "client_id": secrets["client_id"],
            "client_secret": secrets["client_secret"],
        },
    )


async def test_deleted_rows_are_seen_by_query_all_only(org):
    kept, gone = [await org.create(LastName=name) for name in "ab"]
    await asyncio.sleep(30)
    await org.delete(f"/sobjects/Contact/{gone}")
    soql = "SELECT Id, IsDeleted, SystemModstamp, MasterRecordId FROM Contact"

    living = await org.rows(soql)
    every = await org.rows(soql, endpoint="queryAll")

    assert [row["Id"] for row in living] == [kept]
    assert [(row["Id"], row["IsDeleted"]) for row in every] == [(kept, False), (gone, True)]
    assert every[1]["SystemModstamp"] == "2026-03-01T09:00:30.000+0000"
    assert every[1]["MasterRecordId"] is None


async def test_a_count_has_a_size_and_no_rows(org):
    await make(org, 3)

    answer = await org.query("SELECT COUNT() FROM Contact WHERE LastName != 'n0001'")

    assert answer.body == {"totalSize": 2, "done": True, "records": []}


async def test_the_keyset_of_a_second_with_several_rows_resumes_after_the_last_id(org):
    ids = await make(org, 5)
    await asyncio.sleep(1)
    ids += await make(org, 2)
    stamp = "2026-03-01T09:00:00Z"

    rows = await org.rows(
        f"SELECT Id FROM Contact WHERE ((SystemModstamp = {stamp} AND Id > '{ids[2]}')"  # noqa: S608 - SOQL
        f" OR SystemModstamp > {stamp}) AND SystemModstamp < 2026-03-01T10:00:00Z"
        " ORDER BY SystemModstamp ASC, Id ASC"
    )

    assert [row["Id"] for row in rows] == ids[3:]


async def test_two_writes_in_one_second_share_a_system_modstamp(org):
    row_id = await org.create(LastName="a")
    first = (await org.contact(row_id))["SystemModstamp"]
    await asyncio.sleep(0.5)
    await org.patch(f"/sobjects/Contact/{row_id}", {"LastName": "b"})

    assert (await org.contact(row_id))["SystemModstamp"] == first


async def test_a_parent_field_comes_nested_and_moves_no_modstamp_of_the_child(org):
    account = await org.create("Account", Name="Acme")
    row_id = await org.create(LastName="a", AccountId=account)
    await org.create(LastName="b")
    before = (await org.contact(row_id))["SystemModstamp"]
    await asyncio.sleep(60)
    await org.patch(f"/sobjects/Account/{account}", {"Name": "Acme 2"})

    rows = await org.rows(
        "SELECT LastName, Account.Name, SystemModstamp FROM Contact ORDER BY LastName"
    )

    assert rows[0]["Account"]["Name"] == "Acme 2"
    assert rows[0]["Account"]["attributes"]["type"] == "Account"
    assert rows[1]["Account"] is None
    assert rows[0]["SystemModstamp"] == before
    found = await org.rows("SELECT Id FROM Contact WHERE Account.Name LIKE 'acme%'")
    assert [row["Id"] for row in found] == [row_id]


async def test_a_commit_lag_hides_a_write_from_queries_but_not_from_reads(new_org):
    org = new_org(commit_lag_s=20)
    row_id = await org.create(LastName="old")
    await asyncio.sleep(30)
    await org.patch(f"/sobjects/Contact/{row_id}", {"LastName": "new"})
    written = (await org.contact(row_id))["SystemModstamp"]

    await asyncio.sleep(10)
    during = await org.rows(RECENT)
    await asyncio.sleep(11)
    after = await org.rows("SELECT Id, LastName, SystemModstamp FROM Contact")

    assert [row["LastName"] for row in during] == ["old"]
    assert [row["LastName"] for row in after] == ["new"]
    assert after[0]["SystemModstamp"] == written


async def test_seeded_rows_are_there_at_once_in_spite_of_the_lag(new_org):
    org = new_org(commit_lag_s=20, records=10, seed=1)

    assert len(await org.rows("SELECT Id FROM Contact")) == 10


async def test_a_fault_can_make_queries_lag(org):
    await org.sandbox("POST", "faults", {"faults": [{"kind": "consistency_lag", "seconds": 30}]})
    await org.create(LastName="x")

    assert await org.rows("SELECT Id FROM Contact") == []
    await asyncio.sleep(31)
    assert len(await org.rows("SELECT Id FROM Contact")) == 1


async def test_updated_lists_ids_of_the_window_and_how_far_it_is_covered(org):
    early = await org.create(LastName="early")
    await asyncio.sleep(120)
    late = await org.create(LastName="late")
    gone = await org.create(LastName="gone")
    await org.delete(f"/sobjects/Contact/{gone}")
    await asyncio.sleep(60)

    answer = await org.get(
        f"/sobjects/Contact/updated/?start={quote('2026-03-01T09:01:30+00:00')}"
        f"&end={quote('2026-03-01T09:30:00+00:00')}"
    )
    whole = await org.get(
        "/sobjects/Contact/updated?start=2026-03-01T09:00:00Z&end=2026-03-01T09:02:59Z"
    )

    assert answer.body == {"ids": [late], "latestDateCovered": "2026-03-01T09:03:00.000+0000"}
    assert whole.body["ids"] == [early]
    assert whole.body["latestDateCovered"] == "2026-03-01T09:02:00.000+0000"


async def test_deleted_lists_rows_that_went_to_the_bin(org):
    row_id = await org.create(LastName="x")
    await asyncio.sleep(90)
    await org.delete(f"/sobjects/Contact/{row_id}")
    await asyncio.sleep(90)

    answer = await org.get(
        "/sobjects/Contact/deleted/?start=2026-03-01T09:01:00Z&end=2026-03-01T09:02:00Z"
    )

    assert answer.body["deletedRecords"] == [
        {"id": row_id, "deletedDate": "2026-03-01T09:01:30.000+0000"}
    ]
    assert answer.body["earliestDateAvailable"] == "2026-02-14T09:03:00.000+0000"
    assert answer.body["latestDateCovered"] == "2026-03-01T09:02:00.000+0000"


@pytest.mark.parametrize(
    ("kind", "window", "code"),
    [
        ("updated", "start=2026-01-01T00:00:00Z&end=2026-03-01T00:00:00Z", "INVALID_REPLICATION"),
        ("deleted", "start=2026-02-10T00:00:00Z&end=2026-03-01T00:00:00Z", "INVALID_REPLICATION"),
        ("updated", "start=2026-03-01T09:00:10Z&end=2026-03-01T09:00:50Z", "INVALID_REPLICATION"),
        ("updated", "start=2026-03-01T09:00:00Z", "MISSING_ARGUMENT"),
        ("updated", "start=x&end=2026-03-01T09:00:00Z", "INVALID_FIELD"),
    ],
)
async def test_a_bad_window_is_refused(org, kind, window, code):
    answer = await org.get(f"/sobjects/Contact/{kind}?{window}")

    assert answer.status == 400
    assert answer.code.startswith(code)


async def test_an_object_that_is_not_replicateable_has_no_changes_to_read(org):
    answer = await org.get(
        "/sobjects/User/updated?start=2026-03-01T08:00:00Z&end=2026-03-01T09:00:00Z"
    )

    assert answer.status == 400


async def test_a_query_too_long_for_a_url_is_refused_before_it_is_read(org):
    emails = ",".join(f"'person{n}@example.com'" for n in range(600))

    answer = await org.query(f"SELECT Id FROM Contact WHERE Email IN ({emails})")  # noqa: S608

    assert answer.status == 414


async def test_a_wrong_query_says_where_and_what(org):
    unknown = await org.query("SELECT Id, Nope FROM Contact")
    quoted = await org.query("SELECT Id FROM Contact WHERE CreatedDate > '2026-03-01'")
    mixed = await org.query("SELECT Id FROM Contact WHERE Id = null AND Id = null OR Id = null")
    nothing = await org.get("/query")

    assert unknown.status == 400
    assert unknown.body[0]["errorCode"] == "INVALID_FIELD"
    assert "ERROR at Row:1:Column:12\nNo such column 'Nope'" in unknown.body[0]["message"]
    assert "should not be enclosed in quotes" in quoted.body[0]["message"]
    assert mixed.code == "MALFORMED_QUERY"
    assert nothing.code == "MALFORMED_QUERY"


async def test_a_plus_that_was_not_encoded_is_the_platforms_own_error(org):
    answer = await org.get(
        "/query?q=SELECT+Id+FROM+Contact+WHERE+CreatedDate>2026-03-01T09:00:00+00:00"
    )

    assert answer.code == "MALFORMED_QUERY"
    assert answer.body[0]["message"].endswith("no viable alternative at character ' '")
