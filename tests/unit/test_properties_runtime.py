"""Patterns, retries, ids, event payloads: laws that hold for every input."""

import os
import random
import re
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.core import json
from dovetail.core.clock import from_micros, to_micros
from dovetail.core.ids import SeededIds, derive_id
from dovetail.errors import RateLimitedError, TransientError, VersionConflictError
from dovetail.runtime.event_payload import event_payload
from dovetail.runtime.handler import matches
from dovetail.runtime.retry import Retry

EXAMPLES = settings(max_examples=int(os.environ.get("DOVETAIL_EXAMPLES", "100")), deadline=None)
PART = st.sampled_from(["order", "item", "created", "a"])
TYPES = st.lists(PART, min_size=1, max_size=4).map(".".join)
PATTERNS = st.lists(PART | st.just("*"), min_size=1, max_size=4).map(".".join)
MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


# --- patterns


def naive(pattern):
    """Each star but the last is one part; the last one any rest of at least one part."""
    *firsts, last = pattern.split(".")
    one = [r"[^.]+" if part == "*" else re.escape(part) for part in firsts]
    return re.compile(r"\.".join([*one, ".+" if last == "*" else re.escape(last)]))


@EXAMPLES
@given(PATTERNS, TYPES)
def test_patterns_mean_what_a_regular_expression_would(pattern, event_type):
    assert matches(pattern, event_type) == bool(naive(pattern).fullmatch(event_type))


@EXAMPLES
@given(TYPES)
def test_a_name_matches_itself_and_the_star(event_type):
    assert matches(event_type, event_type)
    assert matches("*", event_type)


# --- retries

POLICIES = st.builds(
    Retry, attempts=st.integers(1, 30), base_s=st.floats(0.001, 100), max_s=st.floats(0.001, 10_000)
)


@EXAMPLES
@given(POLICIES, st.integers(1, 1100), st.integers(0, 2**32))
def test_a_wait_is_never_negative_and_never_longer_than_the_policy(policy, attempt, seed):
    # Python floats end at 2**1024: an attempt number beyond it must not end in an OverflowError.
    wait = policy.wait_s(TransientError("no"), attempt, random.Random(seed))

    assert 0 <= wait <= min(policy.max_s, policy.base_s * 2.0 ** min(attempt, 1000))


@EXAMPLES
@given(POLICIES, st.floats(0, 10**6), st.integers(1, 40), st.integers(0, 2**32))
def test_a_rate_limit_is_waited_for_in_full_and_little_longer(policy, told, attempt, seed):
    error = RateLimitedError("slow down", retry_after_s=told)

    wait = policy.wait_s(error, attempt, random.Random(seed))

    assert told <= wait <= told * 1.1 + 0.5


@EXAMPLES
@given(POLICIES, st.integers(1, 40))
def test_tries_end(policy, attempt):
    for error in (TransientError("no"), VersionConflictError("stale"), ValueError("wrong")):
        assert not (attempt >= policy.attempts and policy.allows(error, attempt))
        assert isinstance(error, ValueError) <= (not policy.allows(error, attempt))


# --- ids

TEXTS = st.lists(st.text(alphabet="ab\0\\", max_size=4), min_size=1, max_size=3)


@EXAMPLES
@given(MOMENTS, st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_a_derived_id_is_a_version_7_uuid_of_its_moment(moment, parts):
    id = derive_id(moment, *parts)

    assert id == derive_id(moment, *parts) == str(uuid.UUID(id))
    assert uuid.UUID(id).version == 7
    assert uuid.UUID(id).variant == uuid.RFC_4122
    assert uuid.UUID(id).int >> 80 == to_micros(moment) // 1000


@EXAMPLES
@given(MOMENTS, TEXTS, TEXTS)
def test_other_parts_make_another_id(moment, some, others):
    assert (derive_id(moment, *some) == derive_id(moment, *others)) == (some == others)


@EXAMPLES
@given(st.lists(MOMENTS, min_size=2, max_size=20), st.integers(0, 2**32))
def test_ids_sort_by_their_millisecond(moments, seed):
    class Clock:
        def now(self):
            return self.moment

    clock = Clock()
    ids = SeededIds(clock, random.Random(seed))
    made = []
    for moment in sorted(moments):
        clock.moment = moment
        made.append((to_micros(moment) // 1000, ids.new()))

    for (early, one), (late, other) in pairwise(made):
        assert one != other
        assert early == late or one < other


@EXAMPLES
@given(MOMENTS)
def test_moments_survive_as_microseconds(moment):
    assert from_micros(to_micros(moment)) == moment


# --- payloads

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    PLAIN | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
RICH = st.decimals(allow_nan=False, allow_infinity=False) | MOMENTS | st.dates() | st.uuids()


@EXAMPLES
@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_plain_payloads_come_back_as_they_were_sent(fields):
    payload = event_payload("thing.happened", fields, {})

    assert json.decode(json.encode(payload)) == fields


@EXAMPLES
@given(st.dictionaries(st.text(min_size=1), RICH, max_size=5))
def test_decimals_and_times_lose_nothing_on_the_way(fields):
    payload = event_payload("thing.happened", fields, {})

    back = json.decode(json.encode(payload))
    for name, value in fields.items():
        if isinstance(value, Decimal):
            assert json.convert(back[name], Decimal) == value
        elif isinstance(value, (datetime, date, uuid.UUID)):
            assert json.convert(back[name], type(value)) == value


@EXAMPLES
@given(VALUES)
def test_equal_values_have_one_canonical_form(value):
    assert json.canonical(json.decode(json.canonical(value))) == json.canonical(value)


@EXAMPLES
@given(st.timedeltas(timedelta(0), timedelta(days=10**5)))
def test_moments_keep_their_distances(length):
    start = datetime(2026, 3, 1, tzinfo=UTC)

    assert to_micros(start + length) - to_micros(start) == length // timedelta(microseconds=1)
