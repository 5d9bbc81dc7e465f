"""Metrics, health and readiness of a running app, over its HTTP door."""

import asyncio
import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dovetail import Event, on, send
from dovetail.connector_sdk.limits import StoredBudget
from dovetail.connectors.hubspot import HubSpot
from dovetail.core.settings import Settings
from dovetail.core.transport import HttpRequest
from dovetail.errors import PermanentError, StoreError, TransientError
from dovetail.testing.app import running_app
from dovetail.testing.asgi import AsgiTransport


@on("thing.happened")
async def handle(event: Event) -> None:
    if event.key == "bad":
        raise PermanentError("never")
    if event.key == "later" and not done:
        done.append(1)
        raise TransientError("not yet", operation="handle")
    if event.key == "slow":
        await asyncio.sleep(300)


done = []


@pytest.fixture(autouse=True)
def fresh():
    done.clear()


def door(app):
    transport = AsgiTransport({"http://app.test": app.asgi()})

    async def get(path, method="GET", body=b""):
        request = HttpRequest(method=method, url=f"http://app.test{path}", headers={}, body=body)
        return await transport.send(request)

    return get


async def values(get):
    answer = await get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(answer.body.decode()))
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def happened(app, *keys, tenant="default"):
    async with app.session(tenant):
        for key in keys:
            await send("thing.happened", {}, key=key)


async def test_what_the_runtime_did_is_counted():
    async with running_app(handle) as app:
        get = door(app)
        await happened(app, "good", "bad", "later")
        await app.runtime.wait_idle()
        found = await values(get)

    assert found["dovetail_events_total", "thing.happened"] == 3
    assert found["dovetail_runs_total", "handle", "done"] == 2
    assert found["dovetail_runs_total", "handle", "dead"] == 1
    assert found["dovetail_runs_total", "handle", "retried"] == 1
    assert found["dovetail_deliveries", "handle", "dead"] == 1
    assert found["dovetail_deliveries", "handle", "open"] == 0
    assert found["dovetail_run_duration_seconds_count", "handle"] == 4
    assert found["dovetail_store_commits_total",] > 3
    assert found["dovetail_store_commit_works_count",] == found["dovetail_store_commits_total",]


async def test_lag_is_the_age_of_the_oldest_open_delivery():
    async with running_app(handle) as app:
        get = door(app)
        await happened(app, "slow")
        await asyncio.sleep(120)
        found = await values(get)

    assert found["dovetail_delivery_lag_seconds", "handle"] == pytest.approx(120, abs=1)
    assert found["dovetail_running_runs", "handle"] == 1


async def test_tenants_are_labels_only_when_asked_for():
    async with running_app(handle) as app:
        await happened(app, "good", tenant="acme")
        await app.runtime.wait_idle()
        assert b"acme" not in (await door(app)("/metrics")).body
        app.operations.tally.by_tenant = True
        await happened(app, "good", tenant="acme")
        await app.runtime.wait_idle()
        await asyncio.sleep(6)
        assert b'tenant="acme"' in (await door(app)("/metrics")).body


async def test_what_is_left_of_a_budget_is_shown():
    async with running_app(handle) as app:
        budget = StoredBudget(
            store=app.connections._budgets,
            account="hubspot:7",
            limits=HubSpot.limits,
            clock=app.ports.clock,
        )
        for _ in range(4):
            await budget.acquire("/crm/v3/objects/contacts")
        await budget.pause(30)
        found = await values(door(app))

    left = {key[1]: value for key, value in found.items() if key[0] == "dovetail_budget_left_calls"}
    size = {key[1]: value for key, value in found.items() if key[0] == "dovetail_budget_size_calls"}
    assert left
    assert any(size[name] - left[name] == 4 for name in left)
    paused = [v for key, v in found.items() if key[0] == "dovetail_budget_paused_seconds"]
    assert all(29 < value <= 30 for value in paused)


async def test_webhooks_for_unknown_platforms_make_one_series():
    async with running_app(handle) as app:
        get = door(app)
        for name in ("one", "two", "three"):
            assert (await get(f"/hooks/{name}/nobody", "POST", b"{}")).status == 404
        found = await values(get)

    series = {key: value for key, value in found.items() if key[0] == "dovetail_webhooks_total"}
    assert series == {("dovetail_webhooks_total", "unknown", "404"): 3}


async def test_a_running_app_is_alive_and_ready():
    async with running_app(handle) as app:
        get = door(app)
        assert json.loads((await get("/healthz")).body) == {"status": "ok"}
        assert json.loads((await get("/readyz")).body) == {"ready": True}
        await app.operations.stop()
        answer = await get("/readyz")
        assert answer.status == 503
        assert json.loads(answer.body)["because"] == ["it is starting or stopping"]
        assert (await get("/healthz")).status == 200, "to start it anew would help nobody"


async def test_a_dispatcher_that_ended_is_a_fault():
    async with running_app(handle) as app:
        get = door(app)
        app.runtime._dispatcher._loops[0].cancel()
        await asyncio.sleep(1)
        answer = await get("/healthz")

        assert answer.status == 503
        assert json.loads(answer.body)["faults"] == ["the dispatcher has stopped"]
        assert (await get("/readyz")).status == 503


async def test_a_database_that_refuses_is_not_ready_until_it_takes_a_write_again():
    async with running_app(handle) as app:
        get, group = door(app), app.store.group
        transact, is_full = group._transact, True
        written = []

        def full(body):
            if is_full:
                raise StoreError("The disk is full.", refusal="full", reason="disk is full")
            written.append(body)
            return transact(body)

        group._transact = full
        with pytest.raises(StoreError):
            await happened(app, "good")
        answer = await get("/readyz")
        assert answer.status == 503
        assert "disk is full" in json.loads(answer.body)["because"][0]
        is_full = False
        assert (await get("/readyz")).status == 200
        assert group.refusal is None
        found = await values(get)
        assert found["dovetail_store_refusals_total", "full"] >= 2


async def test_status_says_what_runs_now():
    async with running_app(handle) as app:
        await happened(app, "slow")
        await asyncio.sleep(1)
        told = json.loads((await door(app)("/status")).body)

    assert told["running"] == {"handle": 1}
    assert told["faults"] == []


def test_truth_is_read_from_the_environment():
    assert Settings.from_env({"DOVETAIL_METRICS_TENANTS": "yes"}).metrics_tenants is True
    assert Settings.from_env({"DOVETAIL_METRICS_TENANTS": "0"}).metrics_tenants is False
    assert Settings.from_env({"DOVETAIL_KEEP_DAYS": "7"}).keep_days == 7.0
    with pytest.raises(ValueError, match="DOVETAIL_METRICS_TENANTS='maybe'"):
        Settings.from_env({"DOVETAIL_METRICS_TENANTS": "maybe"})
