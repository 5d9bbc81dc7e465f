"""Stages: a life cycle that goes forward only, and pipelines that stages belong to."""

from datetime import UTC, datetime

import pytest

from dovetail.connector_sdk.record import Write
from dovetail.connectors.hubspot import HubSpot
from dovetail.errors import PlatformUnavailableError

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
CONTACTS, DEALS = HubSpot.resource("contacts"), HubSpot.resource("deals")
STAGE = "lifecyclestage"
PIPELINES = {
    "results": [
        {"id": "default", "stages": [{"id": "closedwon"}, {"id": "both"}]},
        {"id": "817", "stages": [{"id": "9001"}, {"id": "both"}]},
    ]
}
DEAL_KEY = ("GET", "/crm/v3/properties/deals/dovetail_id", 200)


def update(key, id, **fields):
    return Write(action="update", key=key, id=id, fields=fields)


def inputs(body):
    return [(one["id"], one["properties"]) for one in body["inputs"]]


async def test_a_stage_that_hubspot_ignores_is_cleared_and_set(hub):
    def contact(id, stage):
        return hub.contact(id, lifecyclestage=stage)

    hubspot, script = hub.connect(
        hub.key_ready(),
        hub.batch("update", [contact(1, "customer"), contact(2, "customer"), contact(3, "")]),
        hub.batch("update", [contact(1, "")]),
        hub.batch("update", [contact(1, "lead")]),
    )
    writes = [
        update("back", "1", lifecyclestage="lead", firstname="Ada"),
        update("on", "2", lifecyclestage="customer"),
        update("cleared", "3", lifecyclestage=None),
    ]

    results = await hubspot.write(CONTACTS, writes, (STAGE,))

    assert inputs(script.bodies[2]) == [("1", {STAGE: ""})]
    assert inputs(script.bodies[3]) == [("1", {STAGE: "lead"})]
    assert [one.record.fields[STAGE] for one in results] == ["lead", "customer", None]


async def test_a_stage_that_the_answer_leaves_out_is_read(hub):
    short = {"id": "1", "properties": {"firstname": "Ada"}, "updatedAt": hub.iso(START)}
    hubspot, script = hub.connect(
        hub.key_ready(),
        hub.batch("update", [short]),
        hub.batch("read", [hub.contact(1, lifecyclestage="customer")]),
        hub.batch("update", [hub.contact(1, lifecyclestage="")]),
        hub.batch("update", [hub.contact(1, lifecyclestage="lead")]),
    )

    (result,) = await hubspot.write(CONTACTS, [update("u", "1", lifecyclestage="lead")], (STAGE,))

    assert result.record.fields == {STAGE: "lead"}
    assert not script.steps


async def test_a_stage_that_was_cleared_and_not_set_is_a_failure(hub):
    hubspot, _ = hub.connect(
        hub.key_ready(),
        hub.batch("update", [hub.contact(1, lifecyclestage="customer")]),
        hub.batch("update", [hub.contact(1, lifecyclestage="")]),
        ("POST", "/crm/v3/objects/contacts/batch/update", 503, None),
    )

    (result,) = await hubspot.write(CONTACTS, [update("u", "1", lifecyclestage="lead")], (STAGE,))

    assert isinstance(result.error, PlatformUnavailableError)


def deals_answer(hub, *ids):
    results = [
        {"id": id, "properties": {"dealstage": "x"}, "updatedAt": hub.iso(START)} for id in ids
    ]
    return ("POST", "/crm/v3/objects/deals/batch/update", 200, {"results": results})


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"dealstage": "9001"}, {"dealstage": "9001", "pipeline": "817"}),
        ({"dealstage": "both"}, {"dealstage": "both"}),
        ({"dealstage": "nowhere"}, {"dealstage": "nowhere"}),
    ],
)
async def test_a_stage_is_sent_with_the_pipeline_that_has_it(hub, fields, sent):
    hubspot, script = hub.connect(
        (*DEAL_KEY, {"name": "dovetail_id", "hasUniqueValue": True}),
        ("GET", "/crm/v3/pipelines/deals", 200, PIPELINES),
        deals_answer(hub, "1"),
    )

    await hubspot.write(DEALS, [update("u", "1", **fields)], ("dealstage",))

    assert inputs(script.bodies[2]) == [("1", sent)]


async def test_pipelines_are_asked_once_and_only_where_they_are_missing(hub):
    hubspot, script = hub.connect(
        (*DEAL_KEY, {"name": "dovetail_id", "hasUniqueValue": True}),
        deals_answer(hub, "1"),
        ("GET", "/crm/v3/pipelines/deals", 200, PIPELINES),
        deals_answer(hub, "1"),
        deals_answer(hub, "1"),
    )

    for fields in (
        {"dealstage": "closedwon", "pipeline": "default"},
        {"dealstage": "9001"},
        {"dealstage": "closedwon"},
    ):
        await hubspot.write(DEALS, [update("u", "1", **fields)], ("dealstage",))

    assert not script.steps


async def test_without_the_right_to_read_pipelines_the_stage_goes_alone(hub):
    denied = {"status": "error", "category": "MISSING_SCOPES", "message": "missing scopes"}
    hubspot, script = hub.connect(
        (*DEAL_KEY, {"name": "dovetail_id", "hasUniqueValue": True}),
        ("GET", "/crm/v3/pipelines/deals", 403, denied),
        deals_answer(hub, "1"),
    )

    await hubspot.write(DEALS, [update("u", "1", dealstage="9001")], ("dealstage",))

    assert inputs(script.bodies[2]) == [("1", {"dealstage": "9001"})]
