"""Bulk API 2.0: the states of jobs, CSV both ways, rows that fail alone, locators, limits."""

import csv
import io

import pytest

CONTACT = {"object": "Contact", "operation": "insert"}


@pytest.fixture
def org(new_org):
    return new_org(external_id_fields=("Hub_Key__c",), bulk_job_s=10)


def table(text, delimiter=","):
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


async def put(org, job, text):
    path = f"/services/data/v60.0/jobs/ingest/{job}/batches"
    data = text if isinstance(text, bytes) else text.encode()
    return await org.call("PUT", path, data, {"Content-Type": "text/csv; charset=UTF-8"})


async def state(org, job, kind="ingest"):
    return (await org.get(f"/jobs/{kind}/{job}")).body["state"]


async def run(org, text, **described):
    opened = await org.post("/jobs/ingest", {**CONTACT, **described})
    assert opened.status == 200, opened.text
    job = opened.body["id"]
    assert (await put(org, job, text)).status == 201
    closed = await org.patch(f"/jobs/ingest/{job}", {"state": "UploadComplete"})
    assert closed.status == 200, closed.text
    await org.simulator.clock.sleep(10)
    return job


async def results(org, job, name):
    answer = await org.get(f"/jobs/ingest/{job}/{name}")
    assert answer.status == 200, answer.text
    assert answer.headers["content-type"].startswith("text/csv")
    return answer.text


async def test_a_job_goes_through_its_states_and_writes_late(org):
    opened = (await org.post("/jobs/ingest", {**CONTACT, "lineEnding": "LF"})).body
    job = opened["id"]
    assert opened["state"] == "Open"
    assert job.startswith("750")
    assert opened["contentUrl"] == f"services/data/v60.0/jobs/ingest/{job}/batches"
    assert opened["apiVersion"] == 60.0
    uploaded = await put(org, job, "LastName,Email\nByron,ada@example.com\n")
    assert (uploaded.status, uploaded.text) == (201, "")
    closed = await org.patch(f"/jobs/ingest/{job}", {"state": "UploadComplete"})
    assert closed.body["state"] == "UploadComplete"
    await org.simulator.clock.sleep(4)
    assert await state(org, job) == "UploadComplete"
    await org.simulator.clock.sleep(2)
    assert await state(org, job) == "InProgress"
    assert (await org.get(f"/jobs/ingest/{job}/successfulResults")).code == "INVALIDJOBSTATE"
    assert await org.rows("SELECT Id FROM Contact") == []
    await org.simulator.clock.sleep(4)
    done = (await org.get(f"/jobs/ingest/{job}")).body

    assert done["state"] == "JobComplete"
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (1, 0)
    [row] = await org.rows("SELECT Id, LastName, Email FROM Contact")
    assert (row["LastName"], row["Email"]) == ("Byron", "ada@example.com")


async def test_rows_are_written_whether_or_not_anybody_asks_about_the_job(org):
    await run(org, "LastName\nByron\n")
    shown = (await org.sandbox("GET", "records/contacts")).body

    assert shown["total"] == 1


async def test_bad_rows_fail_alone_and_results_join_on_the_key(org):
    await org.create(LastName="Old", Hub_Key__c="k1")
    lines = ["Hub_Key__c,LastName,Email", "k1,Byron,a@example.com", "k2,,b@example.com"]
    lines += ["k3,Hopper,nonsense", "k4,Noether,c@example.com", ",Nobody,d@example.com"]
    job = await run(
        org, "\n".join(lines) + "\n", operation="upsert", externalIdFieldName="Hub_Key__c"
    )
    good = {row["Hub_Key__c"]: row for row in table(await results(org, job, "successfulResults"))}
    bad = {row["Hub_Key__c"]: row for row in table(await results(org, job, "failedResults"))}
    done = (await org.get(f"/jobs/ingest/{job}")).body

    assert done["state"] == "JobComplete"
    assert (done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (5, 3)
    assert good.keys() == {"k1", "k4"}
    assert (good["k1"]["sf__Created"], good["k4"]["sf__Created"]) == ("false", "true")
    assert good["k4"]["sf__Id"].startswith("003")
    assert bad["k2"]["sf__Error"] == (
        "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --"
    )
    assert bad["k3"]["sf__Error"].startswith("INVALID_EMAIL_ADDRESS:Email: invalid email address")
    assert bad[""]["sf__Error"].startswith("MISSING_ARGUMENT:Hub_Key__c not specified")


async def test_an_empty_cell_keeps_a_null_clears_and_a_relation_finds_by_key(org):
    await org.create("Account", Name="Acme", Hub_Key__c="acc-1")
    id = await org.create(LastName="Byron", Phone="1", Title="Countess")
    text = f"Id,Phone,Title,Account.Hub_Key__c\n{id},#N/A,,acc-1\n"
    await run(org, text, operation="update")
    contact = await org.contact(id)

    assert contact["Phone"] is None
    assert contact["Title"] == "Countess"
    assert contact["AccountId"].startswith("001")


async def test_rows_can_be_deleted_softly_or_for_good(org):
    soft, hard = await org.create(LastName="A"), await org.create(LastName="B")
    await run(org, f"Id\n{soft}\n", operation="delete")
    job = await run(org, f"Id\n{hard}\n003000000000000AAA\n", operation="hardDelete")
    left = await org.rows("SELECT Id, IsDeleted FROM Contact", endpoint="queryAll")

    assert [(row["Id"], row["IsDeleted"]) for row in left] == [(soft, True)]
    [failed] = table(await results(org, job, "failedResults"))
    assert failed["sf__Error"].startswith("INVALID_CROSS_REFERENCE_KEY")


async def test_numbers_booleans_and_dates_are_texts_in_csv(org):
    text = "Name,StageName,CloseDate,Amount\nD,Prospecting,2026-03-01,12.5\nE,Prospecting,x,y\n"
    job = await run(org, text, object="Opportunity")
    [row] = await org.rows("SELECT Name, Amount, CloseDate FROM Opportunity")
    [failed] = table(await results(org, job, "failedResults"))

    assert (row["Amount"], row["CloseDate"]) == (12.5, "2026-03-01")
    assert failed["sf__Error"].startswith("INVALID_TYPE_ON_FIELD_IN_RECORD:")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("LastName,Nothing\nA,B\n", "InvalidBatch : Field name not found : Nothing"),
        ("LastName\r\nA\r\n", "ClientInputError : LineEnding is invalid on user data."),
        ("LastName,Email\nA\n", "InvalidBatch : Number of columns in row"),
        ("", "InvalidBatch : Failed to parse CSV header"),
        ('LastName\n"A\n', "InvalidBatch : Failed to parse CSV"),
    ],
)
async def test_content_that_is_no_table_of_the_object_fails_the_job(org, text, error):
    job = await run(org, text)
    failed = (await org.get(f"/jobs/ingest/{job}")).body

    assert failed["state"] == "Failed"
    assert failed["errorMessage"].startswith(error)
    assert await org.rows("SELECT Id FROM Contact") == []


async def test_the_layout_of_csv_is_the_jobs(org):
    job = await run(org, "LastName|Title\r\nA,B|x\r\n", columnDelimiter="PIPE", lineEnding="CRLF")

    [row] = table(await results(org, job, "successfulResults"), delimiter="|")
    assert (row["LastName"], row["Title"]) == ("A,B", "x")


async def test_an_aborted_job_leaves_its_rows_unprocessed(org):
    job = (await org.post("/jobs/ingest", CONTACT)).body["id"]
    await put(org, job, "LastName\nByron\n")
    aborted = await org.patch(f"/jobs/ingest/{job}", {"state": "Aborted"})
    again = await org.patch(f"/jobs/ingest/{job}", {"state": "UploadComplete"})

    assert aborted.body["state"] == "Aborted"
    assert again.code == "INVALIDJOBSTATE"
    for name in ("unprocessedrecords", "unprocessedRecords"):
        assert table(await results(org, job, name)) == [{"LastName": "Byron"}]
    assert await org.rows("SELECT Id FROM Contact") == []


async def test_steps_out_of_order_are_refused(org):
    job = (await org.post("/jobs/ingest", CONTACT)).body["id"]
    without = await org.patch(f"/jobs/ingest/{job}", {"state": "UploadComplete"})
    await put(org, job, "LastName\nA\n")
    second = await put(org, job, "LastName\nB\n")
    running = await org.delete(f"/jobs/ingest/{job}")
    await org.patch(f"/jobs/ingest/{job}", {"state": "UploadComplete"})
    late = await put(org, job, "LastName\nC\n")
    await org.simulator.clock.sleep(10)

    assert [without.code, running.code, late.code] == ["INVALIDJOBSTATE"] * 3
    assert second.code == "INVALIDJOB"
    assert (await org.delete(f"/jobs/ingest/{job}")).status == 204
    assert (await org.get(f"/jobs/ingest/{job}")).code == "NOT_FOUND"


@pytest.mark.parametrize(
    "wrong",
    [
        {"object": "Nothing"},
        {"object": "User"},
        {"operation": "merge"},
        {"operation": "upsert"},
        {"operation": "upsert", "externalIdFieldName": "LastName"},
        {"columnDelimiter": "SPACE"},
        {"contentType": "XML"},
    ],
)
async def test_a_job_that_cannot_be_is_refused_when_it_is_opened(org, wrong):
    refused = await org.post("/jobs/ingest", {**CONTACT, **wrong})

    assert refused.status == 400
    assert refused.code == "INVALIDJOB"
    assert (await org.get("/jobs/ingest")).body["records"] == []


async def test_a_locked_row_fails_and_the_next_is_written(org):
    fault = {"kind": "row_lock", "path": "*/jobs/ingest/*", "count": 1}
    await org.sandbox("POST", "faults", {"faults": [fault]})
    job = await run(org, "LastName\nA\nB\n")
    [failed] = table(await results(org, job, "failedResults"))

    assert failed["sf__Error"].startswith("UNABLE_TO_LOCK_ROW:")
    assert len(table(await results(org, job, "successfulResults"))) == 1


async def test_a_query_job_gives_pages_by_locator(org):
    await org.create("Account", Name='Say "Hi", Inc.')
    account = (await org.rows("SELECT Id FROM Account"))[0]["Id"]
    for number in range(5):
        await org.create(LastName=f"N{number}", AccountId=account if number else None)
    soql = "SELECT LastName, Account.Name, HasOptedOutOfEmail FROM Contact ORDER BY LastName"
    created = await org.post("/jobs/query", {"operation": "query", "query": soql})
    job = created.body["id"]
    assert created.body["state"] == "UploadComplete"
    assert (await org.get(f"/jobs/query/{job}/results")).code == "INVALIDJOBSTATE"
    await org.simulator.clock.sleep(10)
    rows, locator, sizes = [], "", []
    while locator != "null":
        more = f"&locator={locator}" if locator else ""
        page = await org.get(f"/jobs/query/{job}/results?maxRecords=2{more}")
        rows += table(page.text)
        sizes.append(page.headers["sforce-numberofrecords"])
        locator = page.headers["sforce-locator"]

    assert sizes == ["2", "2", "1"]
    assert [row["LastName"] for row in rows] == ["N0", "N1", "N2", "N3", "N4"]
    assert rows[0]["Account.Name"] == ""
    assert rows[1]["Account.Name"] == 'Say "Hi", Inc.'
    assert rows[1]["HasOptedOutOfEmail"] == "false"
    done = (await org.get(f"/jobs/query/{job}")).body
    assert (done["state"], done["numberRecordsProcessed"]) == ("JobComplete", 5)
    assert (await org.get(f"/jobs/query/{job}/results?locator=TTk=")).code == (
        "INVALID_QUERY_LOCATOR"
    )
    other = await org.call("GET", f"/services/data/v61.0/jobs/query/{job}/results")
    assert other.status == 409


async def test_a_query_job_sees_the_bin_only_when_asked(org):
    await org.delete(f"/sobjects/Contact/{await org.create(LastName='A')}")
    counts = {}
    for operation in ("query", "queryAll"):
        body = {"operation": operation, "query": "SELECT Id FROM Contact"}
        job = (await org.post("/jobs/query", body)).body["id"]
        await org.simulator.clock.sleep(10)
        page = await org.get(f"/jobs/query/{job}/results")
        counts[operation] = page.headers["sforce-numberofrecords"]

    assert counts == {"query": "0", "queryAll": "1"}


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT Nothing FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM", "MALFORMED_QUERY"),
        ("SELECT COUNT() FROM Contact", "INVALID_FIELD"),
        ("SELECT MailingAddress FROM Contact", "INVALID_FIELD"),
        ("SELECT Id, (SELECT Id FROM Contacts) FROM Account", "INVALID_FIELD"),
    ],
)
async def test_queries_that_bulk_cannot_run_are_refused(org, soql, code):
    refused = await org.post("/jobs/query", {"operation": "query", "query": soql})

    assert refused.status == 400
    assert refused.code == code


async def test_query_jobs_count_against_a_limit_of_their_own(org):
    before = (await org.get("/limits")).body["DailyBulkV2QueryJobs"]
    body = {"operation": "query", "query": "SELECT Id FROM Contact"}
    job = (await org.post("/jobs/query", body)).body["id"]
    aborted = await org.patch(f"/jobs/query/{job}", {"state": "Aborted"})

    assert before == {"Max": 10_000, "Remaining": 10_000}
    assert (await org.get("/limits")).body["DailyBulkV2QueryJobs"]["Remaining"] == 9_999
    assert aborted.body["state"] == "Aborted"
    assert [each["id"] for each in (await org.get("/jobs/query")).body["records"]] == [job]
    assert (await org.delete(f"/jobs/query/{job}")).status == 204


async def test_jobs_are_kept_for_a_week(org):
    job = await run(org, "LastName\nA\n")
    assert await state(org, job) == "JobComplete"
    org.simulator.sessions.is_valid(f"Bearer {org.token}")
    for _ in range(7 * 24 + 1):
        await org.simulator.clock.sleep(3600)
        await org.get("/limits")

    assert (await org.get(f"/jobs/ingest/{job}")).code == "NOT_FOUND"


async def test_a_query_can_hold_child_rows(org):
    acme, other = await org.create("Account", Name="A"), await org.create("Account", Name="B")
    for name in ("X", "Y", "Z"):
        await org.create(LastName=name, AccountId=acme)
    soql = "SELECT Name, (SELECT LastName FROM Contacts ORDER BY LastName DESC LIMIT 2)"
    rows = await org.rows(soql + " FROM Account ORDER BY Name")

    assert rows[0]["Contacts"]["totalSize"] == 2
    assert rows[0]["Contacts"]["done"] is True
    names = [row["LastName"] for row in rows[0]["Contacts"]["records"]]
    assert names == ["Z", "Y"]
    assert rows[0]["Contacts"]["records"][0]["attributes"]["type"] == "Contact"
    assert rows[1]["Contacts"] is None
    assert other in rows[1]["attributes"]["url"]
    wrong = await org.query("SELECT Id, (SELECT Id FROM Friends) FROM Account")
    assert wrong.code == "INVALID_TYPE"
    nested = "SELECT Id, (SELECT Id, (SELECT Id FROM Cases) FROM Contacts) FROM Account"
    assert (await org.query(nested)).code == "MALFORMED_QUERY"
    relations = (await org.get("/sobjects/Account/describe")).body["childRelationships"]
    assert {"Contacts", "ChildAccounts", "Opportunities", "Cases"} <= {
        relation["relationshipName"] for relation in relations
    }
