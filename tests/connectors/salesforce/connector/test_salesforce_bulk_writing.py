"""Very many writes are one bulk job; each row has its outcome, and none is ever sent twice."""

import asyncio
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.salesforce import Salesforce
from dovetail.connectors.salesforce.bulk_write import Jobs
from dovetail.connectors.salesforce.table import table_of
from dovetail.errors import (
    ConfigError,
    OutcomeUnknownError,
    PlatformUnavailableError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
    TransientError,
)

CONTACTS, DEALS = Salesforce.resource("contacts"), Salesforce.resource("deals")
FIELDS = ("LastName", "Email", "Phone")
KEY = "Hub_Key__c"
DEAL = {"Name": "20 seats", "StageName": "Prospecting", "CloseDate": date(2026, 4, 30)}
SINCE = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def person(number, **more):
    fields = {"LastName": f"P{number}", "Email": f"p{number}@x.example", **more}
    return Write(action="create", key=f"k{number}", fields=fields)


def people(count):
    return [person(number) for number in range(count)]


def keyed(new_world, least=5, **options):
    world = new_world(external_id_fields=(KEY,), **options)
    return world, world.connector(external_id_field=KEY, bulk_write_from=least)


async def everybody(world):
    return (await world.sandbox("records/contacts", None, "GET"))["records"]


def jobs_of(world):
    return [call for call in world.calls if call == "POST /jobs/ingest"]


def uploads_of(world):
    return [call for call in world.calls if call.startswith("PUT ")]


# --- what a job does


async def test_creates_by_our_key_are_one_job_and_known_when_they_are_repeated(new_world):
    world, salesforce = keyed(new_world)

    made = await salesforce.write(CONTACTS, people(20), FIELDS)
    again = await salesforce.write(CONTACTS, people(20), FIELDS)

    assert [one.error for one in made] == [None] * 20
    assert [(one.key, one.created) for one in made] == [(f"k{n}", True) for n in range(20)]
    assert [one.record.fields["Email"] for one in made] == [f"p{n}@x.example" for n in range(20)]
    assert [(one.id, one.created) for one in again] == [(one.id, False) for one in made]
    assert len(jobs_of(world)) == 2
    assert "POST /composite/sobjects" not in world.calls


async def its_whole_life(salesforce, name, fields, changed):
    resource = Salesforce.resource(name)
    creates = [Write(action="create", key=f"k{n}", fields=fields) for n in range(6)]
    made = await salesforce.write(resource, creates, tuple(fields))
    assert [(one.error, one.created) for one in made] == [(None, True)] * 6
    ids = [one.id for one in made]
    assert len(set(ids)) == 6
    updates = [Write(action="update", key=id, id=id, fields=changed) for id in ids]
    updated = await salesforce.write(resource, updates, tuple(changed))
    assert [one.record.fields for one in updated] == [changed] * 6
    deletes = [Write(action="delete", key=id, id=id) for id in ids]
    gone = await salesforce.write(resource, [*deletes], ())
    assert [(one.id, one.error) for one in gone] == [(id, None) for id in ids]
    assert await salesforce.read_many(resource, ids, ()) == [None] * 6
    again = await salesforce.write(resource, deletes, ())
    assert {type(one.error) for one in again} == {RecordNotFoundError}


LIVES = {
    "contacts": ({"LastName": "Byron", "Phone": None}, {"Phone": "12"}),
    "companies": ({"Name": 'Acme, "Ltd"'}, {"AnnualRevenue": Decimal("10.05"), "Website": None}),
    "deals": (DEAL, {"Amount": Decimal("99.95")}),
    "tickets": ({"Subject": "It\nsqueaks", "Status": "New"}, {"Priority": "Low"}),
}


@pytest.mark.parametrize("name", LIVES)
async def test_records_are_made_changed_and_deleted_by_jobs_without_a_key(new_world, name):
    world = new_world()

    await its_whole_life(world.connector(bulk_write_from=5), name, *LIVES[name])

    assert len(jobs_of(world)) == 4
    assert not [call for call in world.calls if call.endswith("/composite/sobjects")]


@pytest.mark.real_time
async def test_the_same_over_a_socket(over_socket):
    await over_socket(
        lambda salesforce: its_whole_life(salesforce, "contacts", *LIVES["contacts"]),
        bulk_write_from=5,
    )


async def test_few_writes_and_the_rest_of_many_go_by_collections(new_world):
    world = new_world()
    salesforce = world.connector(bulk_write_from=250)

    few = await salesforce.write(CONTACTS, people(249), ())

    assert all(one.created for one in few)
    assert world.calls.count("POST /composite/sobjects") == 2
    assert jobs_of(world) == []


async def test_none_clears_a_field_and_what_is_not_named_stays(new_world):
    _, salesforce = keyed(new_world, least=2)
    made = await salesforce.write(
        CONTACTS, [person(n, Phone="1", MobilePhone="2") for n in range(2)], ()
    )
    updates = [
        Write(action="update", key="a", id=made[0].id, fields={"Phone": None}),
        Write(action="update", key="b", id=made[1].id, fields={"MobilePhone": 'He, "x"\n'}),
    ]

    cleared, changed = await salesforce.write(CONTACTS, updates, ("Phone", "MobilePhone"))

    assert cleared.record.fields == {"Phone": None, "MobilePhone": "2"}
    assert changed.record.fields["Phone"] == "1"
    assert changed.record.fields["MobilePhone"].startswith('He, "x"')


async def test_a_text_that_means_nothing_in_a_csv_goes_another_way(new_world):
    world, salesforce = keyed(new_world)

    made = await salesforce.write(CONTACTS, [*people(5), person(9, Title="#N/A")], ("Title",))

    assert made[-1].record.fields == {"Title": "#N/A"}
    assert len(jobs_of(world)) == 1


@pytest.mark.parametrize("value", ["many", "", None])
async def test_a_threshold_that_is_no_number_is_refused(connect, script, described, value):
    script.then(described)

    with pytest.raises(ConfigError, match=r"bulk_write_from is .*no number of records"):
        await connect(bulk_write_from=value).write(CONTACTS, people(1), ())


def test_a_table_has_every_column_that_any_row_names():
    rows = [{"A": None, "B": True}, {"B": "x\r\ny", "C": Decimal("1.50")}]

    assert table_of(rows) == b'A,B,C\n#N/A,true,\n,"x\r\ny",1.50\n'


def test_a_job_holds_what_one_upload_may_and_no_more(new_world):
    salesforce = new_world().connector()
    jobs = Jobs(salesforce.api, CONTACTS, None)
    many = [(person(number), {"LastName": "x"}) for number in range(23_500)]
    large = [(person(number), {"Description": "é" * 8_000}) for number in range(6_000)]

    batches, rest = jobs.batches(many)
    heavy, others = jobs.batches(large)

    assert ([len(batch) for batch in batches], len(rest)) == ([10_000, 10_000, 3_500], 0)
    assert ([len(batch) for batch in heavy], len(others)) == ([1_999] * 3, 3)
    assert max(len(table_of([row for _, row in batch])) for batch in heavy) < 33_000_000


# --- rows that fail


async def test_a_bad_row_has_its_own_error_and_its_neighbours_are_written(new_world):
    world, salesforce = keyed(new_world)
    writes = [*people(6), Write(action="create", key="bad", fields={"Email": "b@x.example"})]
    writes.append(Write(action="create", key="worse", fields={"LastName": "x", "Email": "no"}))

    results = {one.key: one for one in await salesforce.write(CONTACTS, writes, ())}

    assert [key for key, one in results.items() if one.error] == ["bad", "worse"]
    assert type(results["bad"].error) is RecordInvalidError
    assert "makes no record without it" in results["bad"].error.fields["LastName"]
    assert set(results["worse"].error.fields) == {"Email"}
    assert len(await everybody(world)) == 6


async def test_a_locked_row_alone_may_be_tried_again(connect, script, described, row):
    failed = (
        '"sf__Id","sf__Error","LastName","Hub_Key__c"\n'
        '"","UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records: '
        '001:--","P1","k1"\n'
        '"","DUPLICATE_VALUE:duplicate value found: Hub_Key__c duplicates value on record with id: '
        '0035e00000AbCdE:Hub_Key__c --","P2","k2"\n'
    )
    ok = '"sf__Id","sf__Created","LastName","Hub_Key__c"\n"0035e0000000000AAA","true","P0","k0"\n'
    job_over(script, described, "JobComplete", ok, failed)
    script.then([row(0)])

    written, locked, double = await connect(external_id_field=KEY, bulk_write_from=3).write(
        CONTACTS, [person(n) for n in range(3)], FIELDS
    )

    assert (written.error, written.id) == (None, "0035e0000000000AAA")
    assert type(locked.error) is TransientError
    assert type(double.error) is RecordConflictError
    assert double.error.existing_id == "0035e00000AbCdEAAV"


def job_over(script, described, state, *results, **told):
    """Let a job be made, filled, closed and end in *state*, with these results."""
    job = {"id": "750x", "contentUrl": "services/data/v60.0/jobs/ingest/750x/batches"}
    script.then(described).then({**job, "state": "Open"}).then(None, 201)
    script.then({"state": "UploadComplete"}).then({"state": state, **told})
    for text in results:
        script.then_text(text)


@pytest.mark.parametrize("state", ["Failed", "Aborted"])
async def test_rows_that_a_job_did_not_get_to_may_be_tried_again(
    connect, script, described, row, state
):
    ok = '"sf__Id","sf__Created","Hub_Key__c"\n"0035e0000000000AAA","true","k0"\n'
    left = '"Hub_Key__c"\n"k1"\n'
    job_over(script, described, state, ok, '"sf__Id","sf__Error"\n', left, errorMessage="Too long")
    script.then([row(0)])

    written, left_over, lost = await connect(external_id_field=KEY, bulk_write_from=3).write(
        CONTACTS, [person(n) for n in range(3)], FIELDS
    )

    assert written.id == "0035e0000000000AAA"
    assert type(left_over.error) is TransientError
    assert f"750x ended as {state}, Too long. This record was not written." in str(left_over.error)
    assert type(lost.error) is OutcomeUnknownError


async def test_where_jobs_are_not_allowed_collections_do_it(connect, script, described, row):
    refusal = [{"errorCode": "API_DISABLED_FOR_ORG", "message": "no"}]
    script.then(described).then(refusal, 403)
    script.then([{"id": row(n)["Id"], "success": True, "errors": []} for n in range(3)])
    script.then([row(n) for n in range(3)])

    results = await connect(bulk_write_from=3).write(CONTACTS, people(3), FIELDS)

    assert [one.error for one in results] == [None] * 3
    assert script.path(2) == "/services/data/v60.0/composite/sobjects"


# --- answers that are lost


@pytest.mark.parametrize(
    ("method", "part", "kind"),
    [
        ("POST", "/jobs/ingest", PlatformUnavailableError),
        ("PUT", "/batches", TransientError),
    ],
)
async def test_before_the_job_is_closed_nothing_is_written_and_it_may_be_repeated(
    new_world, method, part, kind
):
    world, salesforce = keyed(new_world)
    world.lose(method, part)

    with pytest.raises(TransientError) as caught:
        await salesforce.write(CONTACTS, people(6), ())
    await world.clock.sleep(3_600)

    assert type(caught.value) is kind
    assert await everybody(world) == []
    assert all(one.created for one in await salesforce.write(CONTACTS, people(6), ()))


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("PATCH", "/jobs/ingest"),
        ("GET", "/jobs/ingest"),
        ("GET", "successfulResults"),
        ("GET", "failedResults"),
    ],
)
async def test_once_it_is_closed_a_lost_answer_is_asked_for_again(new_world, method, part):
    world, salesforce = keyed(new_world, bulk_job_s=20)
    world.lose(method, part)

    results = await salesforce.write(CONTACTS, [*people(6), person(7, Email="no")], ())

    assert [one.error is None for one in results] == [True] * 6 + [False]
    assert len(uploads_of(world)) == 1
    assert len(await everybody(world)) == 6


async def test_a_close_that_never_arrived_is_found_open_and_aborted(new_world):
    world, salesforce = keyed(new_world)
    world.stop("PATCH", "/jobs/ingest")

    with pytest.raises(TransientError, match="could not be closed and was aborted"):
        await salesforce.write(CONTACTS, people(6), ())
    await world.clock.sleep(3_600)

    assert await everybody(world) == []


@pytest.mark.parametrize("key_field", [KEY, None])
async def test_an_unknown_outcome_is_looked_up_when_the_job_has_ended(new_world, key_field):
    world = new_world(external_id_fields=(KEY,), bulk_job_s=60)
    settings = {"external_id_field": key_field} if key_field else {}
    first = world.connector(bulk_write_from=5, **settings)
    for _ in range(100):
        world.lose("GET", "/jobs/ingest/")

    with pytest.raises(OutcomeUnknownError, match="may have written 6 records") as caught:
        # The process that waits loses sight of the job, and is cut off in the end.
        await first.write(CONTACTS, people(6), ())
    world.lost.clear()

    assert caught.value.facts["job"].startswith("750")
    found = await world.connector(bulk_write_from=5, **settings).look_up(
        CONTACTS, people(6), SINCE, FIELDS
    )
    assert [one.fields["Email"] for one in found] == [f"p{n}@x.example" for n in range(6)]
    assert len(uploads_of(world)) == 1
    assert len(await everybody(world)) == 6


async def test_while_a_job_still_runs_nobody_concludes_that_it_made_nothing(new_world):
    world = new_world(external_id_fields=(KEY,), bulk_job_s=600)
    salesforce = world.connector(bulk_write_from=5, external_id_field=KEY)
    writing = asyncio.create_task(salesforce.write(CONTACTS, people(6), ()))
    await world.clock.sleep(30)
    writing.cancel()  # the process dies while the job is on its way

    restarted = world.connector(bulk_write_from=5, external_id_field=KEY)
    with pytest.raises(TransientError, match="still writes contacts"):
        await restarted.look_up(CONTACTS, people(6), SINCE, ())
    await world.clock.sleep(600)
    found = await restarted.look_up(CONTACTS, people(6), SINCE, ())

    assert None not in found
    assert len(jobs_of(world)) == 1


async def test_a_job_that_takes_too_long_is_aborted_and_its_rows_are_told(new_world):
    world, salesforce = keyed(new_world, bulk_job_s=100_000)

    results = await salesforce.write(CONTACTS, people(6), ())

    assert {type(one.error) for one in results} == {TransientError}
    assert "ended as Aborted" in str(results[0].error)
    await world.clock.sleep(200_000)
    assert await everybody(world) == []


# --- calls


async def test_the_calls_for_a_thousand_writes_are_few(new_world):
    world = new_world(external_id_fields=(KEY,), bulk_job_s=20)
    salesforce = world.connector(external_id_field=KEY)
    assert CONTACTS.bulk_write_from == 2_000

    results = await salesforce.write(CONTACTS, people(10_000), FIELDS)

    assert all(one.created and one.record.fields["Email"] for one in results)
    # Describe, make, upload, close, four questions, one result, five readings of 2,000.
    assert len(world.calls) == 14
    by_collections = 10_000 / 200 + 10_000 / 2_000
    assert len(world.calls) < by_collections / 3
