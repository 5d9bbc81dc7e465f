"""Timetables: cron expressions in time zones, and intervals."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.core.cron import Cron, Interval, Timetable, every
from dovetail.errors import ConfigError

START = datetime(2026, 3, 1, 9, 7, tzinfo=UTC)


def ticks(timetable: Timetable, after: datetime, count: int) -> list[str]:
    found = []
    for _ in range(count):
        after = timetable.next_after(after)
        found.append(after.strftime("%d %H:%M"))
    return found


def test_a_cron_expression_fires_at_its_minutes():
    assert ticks(Cron("*/15 * * * *"), START, 3) == ["01 09:15", "01 09:30", "01 09:45"]


def test_a_tick_is_later_than_the_moment_asked_about():
    on_the_dot = datetime(2026, 3, 1, 9, 15, tzinfo=UTC)

    assert Cron("*/15 * * * *").next_after(on_the_dot) == on_the_dot + timedelta(minutes=15)
    assert Interval(timedelta(minutes=15)).next_after(on_the_dot) == on_the_dot + timedelta(
        minutes=15
    )


def test_hours_are_read_in_the_time_zone():
    assert ticks(Cron("0 9 * * mon-fri", "America/New_York"), START, 1) == ["02 14:00"]


def test_a_macro_means_its_expression():
    assert ticks(Cron("@daily"), START, 2) == ticks(Cron("0 0 * * *"), START, 2)


def test_a_tick_in_the_hour_that_is_skipped_fires_as_it_ends():
    night = Cron("30 2 * * *", "Europe/Berlin")

    assert ticks(night, datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == ["29 01:00", "30 00:30"]


def test_a_fixed_hour_that_comes_twice_fires_once():
    night = Cron("30 2 * * *", "Europe/Berlin")

    assert ticks(night, datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == ["25 00:30", "26 01:30"]


def test_every_half_hour_goes_on_through_an_hour_that_comes_twice():
    half_hourly = Cron("*/30 * * * *", "Europe/Berlin")
    moment = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    moments = []
    for _ in range(8):
        moment = half_hourly.next_after(moment)
        moments.append(moment)

    assert {later - earlier for earlier, later in pairwise(moments)} == {timedelta(minutes=30)}


@pytest.mark.parametrize(
    "expression",
    [
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "*/0 * * * *",
        "R * * * *",
        "H * * * *",
        "0 0 31 2 *",
        "0 9 * * monday",
        "l" * 40 + "! * * * *",
        "@fortnightly",
    ],
)
def test_what_is_no_cron_expression_is_refused(expression):
    with pytest.raises(ConfigError, match="is not a cron expression"):
        Cron(expression)


def test_an_unknown_time_zone_is_refused():
    with pytest.raises(ConfigError, match="'Europe/Berlim' is not a time zone"):
        Cron("* * * * *", "Europe/Berlim")


@given(
    st.integers(min_value=1, max_value=40 * 24 * 3600),
    st.datetimes(timezones=st.just(UTC)),
)
def test_an_interval_ticks_on_whole_multiples_whenever_it_is_asked(seconds, moment):
    interval = Interval(timedelta(seconds=seconds))
    tick = interval.next_after(moment)

    assert moment < tick <= moment + interval.length
    assert tick.timestamp() % seconds == 0


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("*/15 * * * *", Cron("*/15 * * * *")),
        ("@hourly", Cron("@hourly")),
        ("15 minutes", Interval(timedelta(minutes=15))),
        ("1h30m", Interval(timedelta(minutes=90))),
        (timedelta(minutes=2), Interval(timedelta(minutes=2))),
    ],
)
def test_a_timetable_is_a_cron_expression_or_a_duration(written, meant):
    assert every(written) == meant


def test_a_time_zone_goes_with_a_cron_expression_only():
    assert every("0 9 * * *", timezone="Asia/Tokyo") == Cron("0 9 * * *", "Asia/Tokyo")
    with pytest.raises(ConfigError, match="time zone has no meaning"):
        every("15 minutes", timezone="Asia/Tokyo")


def test_what_is_neither_is_refused():
    with pytest.raises(ConfigError, match=r"neither a cron expression .* nor a duration"):
        every("sometimes")


def test_timetables_say_what_they_are():
    assert str(Interval(timedelta(minutes=15))) == "every 15 minutes"
    assert str(Cron("0 9 * * *", "Asia/Tokyo")) == "0 9 * * * (Asia/Tokyo)"
