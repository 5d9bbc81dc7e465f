"""Spans: event, run, step and HTTP call in one trace; nothing where nobody collects them."""

from dovetail import Event, on, send, step
from dovetail.core.telemetry import begin_tracing, span, trace_id
from dovetail.errors import PermanentError, TransientError
from dovetail.runtime.history import list_events
from dovetail.testing.app import running_app

TOKEN = "pat-na1-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"


@on("thing.happened")
async def begin(event: Event) -> None:
    await step("look", str, 1)
    await send("thing.followed", {}, key="b")


@on("thing.followed")
async def follow(event: Event) -> None:
    pass


async def events_of(app):
    return {one.type: one for one in await app.store.read(list_events)}


async def test_an_event_and_all_its_runs_and_steps_are_one_trace(spans):
    async with running_app(begin, follow) as app:
        async with app.session("acme"):
            await send("thing.happened", {}, key="a")
        await app.runtime.wait_idle()
        found = await events_of(app)

    by_name = {one.name: one for one in spans()}
    first, second = by_name["run begin"], by_name["run follow"]
    assert f"{first.context.trace_id:032x}" == trace_id(found["thing.happened"].id)
    assert f"{second.context.trace_id:032x}" == trace_id(found["thing.followed"].id)
    assert by_name["step look"].parent.span_id == first.context.span_id
    assert first.attributes["dovetail.tenant"] == "acme"
    assert first.attributes["dovetail.outcome"] == "done"
    # The event that was sent leads back to the one whose run sent it.
    assert [link.context.trace_id for link in second.links] == [first.context.trace_id]


async def test_a_second_try_is_in_the_same_trace_and_says_why_the_first_failed(spans):
    tries = []

    @on("thing.happened")
    async def handle(event: Event) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise TransientError(f"refused {TOKEN}", operation="look")

    async with running_app(handle) as app:
        async with app.session():
            await send("thing.happened", {}, key="a")
        await app.runtime.wait_idle()

    first, second = spans()
    assert first.context.trace_id == second.context.trace_id
    assert (first.attributes["dovetail.outcome"], second.attributes["dovetail.outcome"]) == (
        "retried",
        "done",
    )
    assert not first.status.is_ok
    assert first.attributes["error.type"] == "transient"
    assert TOKEN not in first.to_json()


async def test_a_step_that_fails_is_a_failed_span_without_secrets(spans):
    async def call():
        raise PermanentError(f"refused {TOKEN}")

    @on("thing.happened")
    async def handle(event: Event) -> None:
        await step("call", call)

    async with running_app(handle) as app:
        async with app.session():
            await send("thing.happened", {}, key="a")
        await app.runtime.wait_idle()

    (failed,) = (one for one in spans() if one.name == "step call")
    assert failed.attributes["error.type"] == "PermanentError"
    assert "refused" in failed.status.description
    assert all(TOKEN not in one.to_json() for one in spans())


def test_ids_of_traces_are_the_same_everywhere_and_random_in_their_low_bits():
    ids = [trace_id(f"0195-{number}") for number in range(2000)]

    assert ids[7] == trace_id("0195-7")
    assert len(set(ids)) == 2000
    # A sampler keeps what is below its bound in the last 64 bits: half of them, for a half.
    below = sum(int(one[16:], 16) < 2**63 for one in ids)
    assert 900 < below < 1100


def test_without_an_sdk_nothing_is_made():
    assert begin_tracing() is False
    assert span("anything") is span("anything else")
    with span("anything") as nothing:
        nothing.note("fact", 1)
        nothing.fail("reason")
