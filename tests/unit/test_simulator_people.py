from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from dovetail.simulator_sdk.people import FIELDS, people

UNTIL = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def emails(crowd):
    return [person.email.lower() for person in crowd if person.email]


def test_the_same_seed_gives_the_same_people():
    assert people(7, "hubspot", 200, until=UNTIL) == people(7, "hubspot", 200, until=UNTIL)
    assert people(7, "hubspot", 200, until=UNTIL) != people(8, "hubspot", 200, until=UNTIL)


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_two_platforms_share_exactly_a_quarter(seed):
    one = people(seed, "hubspot", 2000, until=UNTIL)
    two = people(seed, "salesforce", 2000, until=UNTIL, duplicates=True)

    assert len(one) == len(two) == 2000
    assert len(set(emails(one)) & set(emails(two))) == 500


def test_shared_people_differ_in_their_details():
    one = {p.email.lower(): p for p in people(3, "hubspot", 400, until=UNTIL) if p.email}
    two = {p.email.lower(): p for p in people(3, "salesforce", 400, until=UNTIL) if p.email}
    pairs = [(one[email], two[email]) for email in set(one) & set(two)]

    assert sum(a.phone != b.phone for a, b in pairs) > 50
    assert any(a.email != b.email for a, b in pairs)
    assert any(a.company_name != b.company_name for a, b in pairs)
    assert all(a.modified_at != b.modified_at for a, b in pairs)


def test_without_duplicates_no_address_occurs_twice():
    counts = Counter(emails(people(5, "hubspot", 3000, until=UNTIL)))

    assert max(counts.values()) == 1


def test_duplicates_are_one_in_a_hundred_and_never_among_the_shared():
    crowd = people(5, "salesforce", 2000, until=UNTIL, duplicates=True)
    shared = set(emails(people(5, "other", 2000, until=UNTIL)))
    twice = {email for email, number in Counter(emails(crowd)).items() if number > 1}

    assert 15 <= len(twice) <= 20
    assert not twice & shared


def test_some_have_no_address_and_some_have_stray_spaces_and_blanks():
    crowd = people(1, "hubspot", 2000, until=UNTIL)

    assert 15 <= sum(person.email is None for person in crowd) <= 60
    assert any(p.first_name and p.first_name != p.first_name.strip() for p in crowd)
    assert any("+" in (p.email or "") for p in crowd)
    assert all(
        any(getattr(p, name) is None for p in crowd) for name in FIELDS if name != "last_name"
    )


def test_names_come_in_many_scripts():
    names = "".join(person.last_name for person in people(1, "hubspot", 2000, until=UNTIL))
    samples = {"Cyrillic": "ко", "Greek": "πα", "Arabic": "مص", "Hebrew": "כ", "Chinese": "王",
               "Korean": "김", "Devanagari": "श", "Thai": "จ", "Latin": "ü"}  # fmt: skip

    assert [script for script, letter in samples.items() if letter not in names] == []


def test_times_lie_in_the_past_two_years_and_creation_comes_first():
    crowd = people(1, "hubspot", 1000, until=UNTIL)

    assert all(UNTIL - timedelta(days=731) < p.created_at < UNTIL for p in crowd)
    assert all(p.created_at - timedelta(seconds=1) <= p.modified_at < UNTIL for p in crowd)
    assert [p.created_at for p in crowd] == sorted(p.created_at for p in crowd)
