"""Retry schedules, what dead letters have in common, and ticks that were missed."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from dovetail import Event, Retry, every, on, send
from dovetail.core.cron import Interval, ticks_until
from dovetail.errors import DeclarationError, PermanentError, TransientError
from dovetail.runtime.dead_letter import group_dead, list_dead
from dovetail.runtime.likeness import likeness_of
from dovetail.testing.app import running_app

T0 = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def test_a_schedule_is_waited_for_as_written_and_a_tenth_at_most():
    retry = Retry(schedule=("1s", "1m", "1h"))
    waits = [retry.wait_s(TransientError("x"), n, random.Random(0)) for n in (1, 2, 3)]

    assert retry.tries == 4
    for wait, wanted in zip(waits, (1, 60, 3600), strict=True):
        assert wanted <= wait <= 1.1 * wanted


def test_only_these_errors_are_tried_again():
    retry = Retry(only=(KeyError,))

    assert retry.allows(KeyError("k"), 1)
    assert not retry.allows(TransientError("x"), 1)


@pytest.mark.parametrize(
    "options",
    [{"attempts": 0}, {"on": (KeyError,), "only": (KeyError,)}, {"schedule": "1s"}, {"only": (3,)}],
)
def test_a_policy_that_cannot_be_is_refused(options):
    with pytest.raises(DeclarationError, match="retry: "):
        Retry(**options)


async def test_no_try_is_made_after_the_longest_time():
    tries = []

    @on("thing.happened", retry=Retry(schedule=("10 minutes",), attempts=50, max_elapsed="1 hour"))
    async def handle(event: Event) -> None:
        tries.append(1)
        raise TransientError("down")

    async with running_app(handle) as app:
        async with app.session():
            await send("thing.happened", {})
        await app.runtime.wait_idle()

    assert 5 <= len(tries) <= 6


async def test_dead_letters_are_grouped_by_what_their_errors_have_in_common():
    @on("thing.happened")
    async def handle(event: Event) -> None:
        raise PermanentError(f"order {event.payload['n']} of 'shop {event.payload['n']}' is closed")

    async with running_app(handle) as app:
        async with app.session():
            for n in range(5):
                await send("thing.happened", {"n": n}, key=str(n))
        await app.runtime.wait_idle()
        (group,) = await app.store.read(group_dead)
        alike = await app.store.read(lambda tx: list_dead(tx, error="is closed"))
        others = await app.store.read(lambda tx: list_dead(tx, error="is open"))

    assert (group.count, group.likeness) == (5, "permanent: order <n> of <text> is closed")
    assert (len(alike), others) == (5, [])


def test_ids_and_addresses_make_no_difference():
    one = {"code": "x", "message": "ada@example.com: 0190a6c4-7f3e-7000-8000-000000000001 failed"}
    two = {"code": "x", "message": "bob@example.com: 0190a6c4-7f3e-7000-8000-000000000002 failed"}

    assert likeness_of(one) == likeness_of(two)


@pytest.mark.parametrize(
    ("misfire", "seen"),
    [
        ("skip", ["09:15"]),
        ("once", ["09:15", "10:00"]),
        ("all", ["09:15", "09:30", "09:45", "10:00"]),
    ],
)
async def test_missed_ticks_are_sent_as_the_policy_says(misfire, seen, tmp_path):
    ticks = []

    @every("15 minutes", misfire=misfire)
    async def tick(event: Event) -> None:
        ticks.append(event.payload["due_at"][11:16])

    database = tmp_path / "app.db"
    async with running_app(tick, database=database) as app:
        await app.ports.clock.sleep(901)
    late = T0 + timedelta(minutes=62)
    async with running_app(tick, database=database, start=late) as app:
        await app.ports.clock.sleep(5)
        await app.runtime.wait_idle()
    assert ticks == seen


def test_years_of_missed_ticks_are_found_from_their_end():
    minute = Interval(timedelta(minutes=1))
    found = ticks_until(minute, T0 - timedelta(days=3650), T0, 3)

    assert found == [T0 - timedelta(minutes=2), T0 - timedelta(minutes=1), T0]


def test_an_unknown_misfire_policy_is_refused():
    with pytest.raises(DeclarationError, match="none of 'once', 'skip', 'all'"):
        every("15 minutes", misfire="never")
