"""Durations, as people write them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.core.duration import format_duration, parse_duration
from dovetail.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "length"),
    [
        ("15-minutes", timedelta(minutes=15)),
        ("15 minutes", timedelta(minutes=15)),
        ("15m", timedelta(minutes=15)),
        ("15 MIN", timedelta(minutes=15)),
        ("1-minute", timedelta(minutes=1)),
        ("2 days", timedelta(days=2)),
        ("1h30m", timedelta(minutes=90)),
        ("1 hour, 30 minutes", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("1w", timedelta(weeks=1)),
        (90, timedelta(seconds=90)),
        (0.5, timedelta(milliseconds=500)),
        (Decimal("0.5"), timedelta(milliseconds=500)),
        (timedelta(hours=4), timedelta(hours=4)),
    ],
)
def test_a_duration_is_read(written, length):
    assert parse_duration(written) == length


@pytest.mark.parametrize(
    "written",
    [
        "",
        "minutes",
        "15",
        "15-minuts",
        "15 m 3",
        "-5m",
        "1 month",
        "*/15 * * * *",
        "1e3s",
        "\N{ARABIC-INDIC DIGIT ONE}m",
        True,
        None,
        [15],
    ],
)
def test_what_is_no_duration_is_refused_with_examples(written):
    with pytest.raises(ConfigError, match=r"is not a duration.*15-minutes"):
        parse_duration(written)


@pytest.mark.parametrize("written", [0, -1, "0s", timedelta(0), float("-inf")])
def test_a_duration_is_more_than_zero(written):
    with pytest.raises(ConfigError):
        parse_duration(written)


@pytest.mark.parametrize("written", [1e300, float("inf"), float("nan"), "9" * 400 + "d", "11000d"])
def test_a_duration_is_at_most_ten_years(written):
    with pytest.raises(ConfigError, match="too long"):
        parse_duration(written)


@given(st.integers(min_value=1, max_value=3600 * 24 * 3000))
def test_a_duration_in_words_is_read_back(seconds):
    length = timedelta(seconds=seconds)

    assert parse_duration(format_duration(length)) == length


def test_words_are_the_ones_people_use():
    assert format_duration(timedelta(minutes=15)) == "15 minutes"
    assert format_duration(timedelta(minutes=90)) == "1 hour 30 minutes"
    assert format_duration(timedelta(days=1, milliseconds=5)) == "1 day 5 milliseconds"
