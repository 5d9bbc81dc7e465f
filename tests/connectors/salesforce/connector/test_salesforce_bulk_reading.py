"""Very many records are read with one bulk job, and nothing is lost or read as another value."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.salesforce import Salesforce
from dovetail.connectors.salesforce.bulk_read import NEW
from dovetail.core import json
from dovetail.core.transport import HttpResponse
from dovetail.errors import (
    AuthenticationError,
    MalformedResponseError,
    PermanentError,
    PermissionDeniedError,
    PlatformUnavailableError,
    RateLimitedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
    TransientError,
)

CONTACTS, COMPANIES = Salesforce.resource("contacts"), Salesforce.resource("companies")
FIELDS = ("LastName", "Email", "Phone")
# Long texts take much room, so a page of results has fewer rows.
LONG = (*FIELDS, "MailingStreet", "Description", "OtherStreet")
QUERY = "POST /jobs/query"
DATA = "/services/data/v60.0"


def seeded(new_world, count=4_500, **options):
    return new_world(records=count, seed=3, **options)


def by_id(found):
    return {one.id: one for one in found.records}


async def test_many_records_are_read_by_one_job_and_are_those_of_a_query(new_world, read_all):
    world = seeded(new_world)
    plain = await read_all(world.connector(), CONTACTS, FIELDS)
    world.calls.clear()

    many = await read_all(world.connector(bulk_read_from=2_500), CONTACTS, FIELDS)

    assert by_id(many) == by_id(plain)
    assert len(by_id(many)) == 4_500
    assert many.pages[0].total == 4_500
    assert world.calls.count(QUERY) == 1


async def test_fewer_than_the_threshold_are_read_by_queries(new_world, read_all):
    world = seeded(new_world, 2_100)
    assert CONTACTS.bulk_read_from > 2_100

    for settings in ({}, {"bulk_read_from": 2_101}, {"bulk_read_from": 0}):
        found = await read_all(world.connector(**settings), CONTACTS, FIELDS)
        assert len(by_id(found)) == 2_100

    assert not [call for call in world.calls if "jobs" in call]


async def test_a_job_is_asked_after_less_and_less_often(new_world, read_all):
    world = seeded(new_world, 2_100, bulk_job_s=300)
    started = world.clock.now()

    found = await read_all(world.connector(bulk_read_from=2_100), CONTACTS, FIELDS)

    waits = [page.wait_s for page in found.pages if page.wait_s]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert timedelta(seconds=300) <= world.clock.now() - started <= timedelta(seconds=305)
    assert len(by_id(found)) == 2_100


async def test_whoever_goes_on_with_the_cursor_makes_no_second_job(new_world):
    world = seeded(new_world, 6_100, bulk_job_s=30)
    cursor, records, pages = None, [], Counter()
    while True:
        # A new process each time: all it has is the cursor.
        salesforce = world.connector(bulk_read_from=2_500)
        page = await salesforce.read_page(CONTACTS, LONG, cursor)
        pages[len(page.records)] += 1
        records += page.records
        cursor = json.decode(json.encode(page.cursor))
        if not page.more:
            break
        await world.clock.sleep(page.wait_s)

    assert world.calls.count(QUERY) == 1
    assert sum(call.endswith("/results") for call in world.calls) >= 3
    assert len({one.id for one in records}) == 6_100


async def test_changes_made_meanwhile_are_read_afterwards(new_world, create, read_all):
    world = seeded(new_world, 2_600, bulk_job_s=60)
    salesforce = world.connector(bulk_read_from=2_500)
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    edited = first.records[0].id
    (made,) = await salesforce.write(CONTACTS, [create("n", LastName="New")], ())
    while first.more and not first.wait_s:
        first = await salesforce.read_page(CONTACTS, FIELDS, first.cursor)
    await salesforce.write(
        CONTACTS, [Write(action="update", key="e", id=edited, fields={"LastName": "Changed"})], ()
    )

    during = await read_all(salesforce, CONTACTS, FIELDS, first.cursor)
    after = await read_all(salesforce, CONTACTS, FIELDS, during.cursor)

    told = {**by_id(during), **by_id(after)}
    assert told[edited].fields["LastName"] == "Changed"
    assert made.id in told
    assert during.cursor["job"] is None
    assert (await read_all(salesforce, CONTACTS, FIELDS, after.cursor)).records == []


async def test_after_a_job_the_next_reading_shows_what_changed_alone(new_world, read_all):
    world = seeded(new_world, 2_600)
    salesforce = world.connector(bulk_read_from=2_500)
    found = await read_all(salesforce, CONTACTS, FIELDS)
    world.calls.clear()

    after = await read_all(salesforce, CONTACTS, FIELDS, found.cursor)

    assert after.records == []
    assert len(world.calls) == 1


ODD = {
    "Name": 'He said "no", twice;\r\nthen\nleft',
    "Phone": None,
    "Website": "#N/A,",
    "AnnualRevenue": Decimal("1234567890.05"),
    "Industry": "Größe 📦 \\ '",
}


async def test_every_kind_of_value_is_read_as_a_query_reads_it(new_world, create, read_all):
    world = new_world()
    salesforce = world.connector(bulk_read_from=0)
    odd = {name: value for name, value in ODD.items() if value is not None}
    (one,) = await salesforce.write(COMPANIES, [create("a", **odd)], ())
    gone, other = await salesforce.write(
        COMPANIES, [create("b", Name="Gone"), create("c", Name="Merged")], ()
    )
    await salesforce.write(COMPANIES, [Write(action="delete", key="b", id=gone.id)], ())
    await world.sandbox("edit", {"resource": "companies", "id": one.id, "merge": other.id})
    names = (*ODD, "OwnerId", "IsDeleted", "CreatedDate", "NumberOfEmployees")
    plain = await read_all(salesforce, COMPANIES, names)
    cursor = {**salesforce.cursor_at(COMPANIES, datetime(2020, 1, 1, tzinfo=UTC)), "job": NEW}

    many = await read_all(salesforce, COMPANIES, names, {**cursor, "ceiling": "2027-01-01T00:00Z"})

    assert by_id(many) == by_id(plain)
    read = by_id(many)[one.id].fields
    assert {name: read[name] for name in ODD if name != "Name"} == {
        name: value for name, value in ODD.items() if name != "Name"
    }
    assert by_id(many)[gone.id].deleted
    assert by_id(many)[other.id].merged_into == one.id


# --- what goes wrong


def running(**more):
    cursor = {"watermark": "2026-03-01T09:00:00.000Z", "locator": None, "seen": {}}
    job = {"id": "750x", "polls": 3, "is_done": False, "locator": None}
    return {**cursor, "ceiling": "2026-03-01T15:00:09.000Z", "job": {**job, **more}}


@pytest.mark.parametrize("state", ["Failed", "Aborted"])
async def test_a_job_that_ended_badly_is_told_and_reading_goes_on_without(
    salesforce, script, described, page, row, state
):
    script.then(described).then({"state": state, "errorMessage": "InternalServerError : oops."})

    told = await salesforce.read_page(CONTACTS, FIELDS[:2], running())

    assert (told.records, told.more, told.wait_s) == ([], True, 0)
    assert type(told.trouble) is PermanentError
    assert f"bulk job 750x ended as {state}, InternalServerError : oops. The" in str(told.trouble)
    script.then(page(row(1, 5), locator=f"{DATA}/query/0r8-1", total=90_000)).then(page(row(2, 9)))
    after = await salesforce.read_page(CONTACTS, FIELDS[:2], told.cursor)
    assert "SystemModstamp >= 2026-03-01T08:59:00.000Z" in script.soql(-2)
    assert after.cursor["locator"] == f"{DATA}/query/0r8-1"
    script.then(page(row(2, 9)))
    last = await salesforce.read_page(CONTACTS, FIELDS[:2], after.cursor)
    assert "plain" not in last.cursor


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NOT_FOUND", RecordNotFoundError),
        (409, "API_VERSION", RecordConflictError),
        (403, "API_DISABLED_FOR_ORG", PermissionDeniedError),
        (400, "INVALIDJOB", RecordInvalidError),
    ],
)
async def test_a_job_that_is_gone_or_not_allowed_is_done_without(
    salesforce, script, described, status, code, kind
):
    script.then(described).then([{"errorCode": code, "message": "no"}], status)

    told = await salesforce.read_page(CONTACTS, FIELDS[:2], running())

    assert type(told.trouble) is kind
    assert (told.cursor["job"], told.cursor["plain"]) == (None, True)
    assert told.cursor["watermark"] == "2026-03-01T09:00:00.000Z"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "INVALID_SESSION_ID", AuthenticationError),
        (403, "REQUEST_LIMIT_EXCEEDED", RateLimitedError),
        (503, "SERVER_UNAVAILABLE", PlatformUnavailableError),
    ],
)
async def test_what_passes_does_not_end_a_job(salesforce, script, described, status, code, kind):
    script.then(described).then([{"errorCode": code, "message": "no"}], status)

    with pytest.raises(kind):
        await salesforce.read_page(CONTACTS, FIELDS[:2], running())


async def test_results_that_expired_between_two_pages_are_read_again(salesforce, script, described):
    expired = [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}]
    script.then(described).then(expired, 404)

    told = await salesforce.read_page(
        CONTACTS, FIELDS[:2], running(is_done=True, locator="MTAwMDA")
    )

    assert script.asked[-1].url.endswith(
        "/jobs/query/750x/results?maxRecords=10000&locator=MTAwMDA"
    )
    assert told.trouble is not None
    assert told.cursor["watermark"] == "2026-03-01T09:00:00.000Z"


async def test_an_aborted_job_of_the_org_is_told_once_and_all_is_read(new_world, read_all):
    world = seeded(new_world, 2_600, bulk_job_s=60)
    salesforce = world.connector(bulk_read_from=2_500)
    page = await salesforce.read_page(CONTACTS, FIELDS, None)
    page = await salesforce.read_page(CONTACTS, FIELDS, page.cursor)
    id = page.cursor["job"]["id"]
    path = f"{DATA}/jobs/query/{id}"
    await salesforce.api.request("PATCH", path, operation="abort", json={"state": "Aborted"})

    found = await read_all(salesforce, CONTACTS, FIELDS, page.cursor)

    assert [str(one.trouble) for one in found.pages if one.trouble] == [
        f"Salesforce could not read many changed contacts: its bulk job {id} ended as Aborted, no "
        "explanation was given. The records are read page by page instead, which takes more calls."
    ]
    assert len(by_id(found)) >= 600
    assert world.calls.count(QUERY) == 1


async def test_an_answer_that_was_lost_is_asked_for_again(new_world, read_all):
    world = seeded(new_world, 2_600)
    salesforce = world.connector(bulk_read_from=2_500)
    page = await salesforce.read_page(CONTACTS, FIELDS, None)
    world.lose("POST", "/jobs/query")

    with pytest.raises(PlatformUnavailableError):
        await salesforce.read_page(CONTACTS, FIELDS, page.cursor)
    found = await read_all(salesforce, CONTACTS, FIELDS, page.cursor)

    assert len(by_id(found) | {one.id: one for one in page.records}) == 2_600


class Csv:
    """Answers with a CSV as it is."""

    def __init__(self, described, body, **headers):
        self.answers = [(json.encode(described), {}), (body, headers)]

    async def send(self, request):
        body, headers = self.answers.pop(0)
        return HttpResponse(status=200, headers=headers, body=body)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'"Id","SystemModstamp"\n"003"\n', "1"),
        (b'"Id","SystemModstamp"\n"003","2026-03-01T15:00:00.000Z"\n', "2"),
        (b'"Id","SystemModstamp"\n"003","2026-03', "1"),
        (b'"Id"\n"\xff"\n', "1"),
    ],
    ids=["short-row", "fewer-rows", "open-quote", "not-utf-8"],
)
async def test_a_csv_that_was_cut_is_not_taken_for_the_whole(new_world, described, body, count):
    world = new_world()
    salesforce = world.connector()
    world.transport = Csv(described, body, **{"sforce-numberofrecords": count})

    with pytest.raises(MalformedResponseError, match="CSV of its bulk job"):
        await salesforce.read_page(CONTACTS, FIELDS[:2], running(is_done=True))


TIMEOUT = [{"errorCode": "QUERY_TIMEOUT", "message": "Your query request was running too long."}]


async def test_a_query_that_takes_too_long_becomes_a_job(connect, script, page, row):
    salesforce = connect(bulk_read_from=1_000_000)
    script.then(TIMEOUT, 400).then(page(row(9, 300)))

    told = await salesforce.read_page(CONTACTS, FIELDS[:2], None)

    assert (told.records, told.more, told.cursor["job"]) == ([], True, NEW)
    assert told.cursor["ceiling"] == "2026-03-01T15:05:00.000Z"


async def test_a_query_that_takes_too_long_without_a_job_may_be_tried_again(connect, script):
    script.then(TIMEOUT, 400).then(TIMEOUT, 400)

    with pytest.raises(TransientError, match="QUERY_TIMEOUT"):
        await connect(bulk_read_from=0).read_page(CONTACTS, FIELDS[:2], None)
    with pytest.raises(TransientError, match="QUERY_TIMEOUT"):
        await connect().read_page(
            CONTACTS, FIELDS[:2], {**running(), "job": None, "ceiling": None, "plain": True}
        )


async def test_compound_fields_are_read_without_a_job(salesforce, script, described):
    fields = [*described["fields"], {"name": "MailingAddress", "type": "address"}]
    script.then({**described, "fields": fields})

    told = await salesforce.read_page(CONTACTS, ("MailingAddress",), running(id=None))

    assert (told.trouble, told.cursor["plain"], len(script.asked)) == (None, True, 1)


# --- calls


async def test_the_calls_for_a_thousand_records_are_few(new_world, read_all):
    world = seeded(new_world, 20_000, bulk_job_s=20)
    salesforce = world.connector()

    found = await read_all(salesforce, CONTACTS, FIELDS)

    assert len(by_id(found)) == 20_000
    # Query, latest change, description, job, four questions, two pages of 10,000.
    assert len(world.calls) == 10
    world.calls.clear()
    plain = await read_all(world.connector(bulk_read_from=0), CONTACTS, FIELDS)
    assert by_id(plain) == by_id(found)
    assert len(world.calls) <= 1.1 * 20_000 / CONTACTS.read_batch


async def many_over_a_socket(salesforce, read_all):
    writes = [Write(action="create", key=f"k{n}", fields={"LastName": f"P{n}"}) for n in range(200)]
    for _ in range(11):
        await salesforce.write(CONTACTS, writes, ())
    first = await salesforce.read_page(CONTACTS, FIELDS, None)
    assert first.cursor["job"] == NEW

    found = await read_all(salesforce, CONTACTS, FIELDS, first.cursor)

    assert len({one.id for one in [*first.records, *found.records]}) == first.total
    assert [one.trouble for one in found.pages] == [None] * len(found.pages)


@pytest.mark.real_time
async def test_many_records_over_a_socket(over_socket, read_all):
    await over_socket(lambda one: many_over_a_socket(one, read_all), bulk_read_from=2_100)
