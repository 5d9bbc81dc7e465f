"""The journal: bounds, and where an entry is found."""

import pytest
from structlog.testing import capture_logs

from dovetail.entities import Contact
from dovetail.errors import UsageError
from dovetail.runtime.journal import Bounds, Journal
from dovetail.runtime.step_input import mark_input, other_arguments
from dovetail.runtime.store.schema import STEP
from dovetail.testing.app import seeded_ports


def journal_of(**bounds):
    return Journal(1, None, seeded_ports().clock, fresh=True, bounds=Bounds(**bounds))


def add(journal, result=b"1"):
    return journal.row(journal.place(STEP, "work", ""), result, started_at=0)


@pytest.mark.parametrize(
    ("bounds", "result", "fits", "told"),
    [
        ({"entries": 4}, b"1", 4, "as many as a run may"),
        ({"result_bytes": 10}, b"x" * 11, 0, "at most 10 can be recorded"),
        ({"journal_bytes": 40}, b"x" * 10, 4, "more than 40"),
    ],
)
async def test_a_journal_is_bounded_and_says_so_before(bounds, result, fits, told):
    journal = journal_of(**bounds)
    with capture_logs() as logs:
        for _ in range(fits):
            add(journal, result)
        with pytest.raises(UsageError, match=told):
            add(journal, result)
    assert [one["what"] for one in logs] == ([next(iter(bounds))] if fits else [])


async def test_a_name_used_again_is_another_entry_and_a_key_tells_entries_apart():
    journal = journal_of()
    places = [journal.place(STEP, "a", key) for key in ("", "", "x")]
    assert [str(place) for place in places] == ["a", "a #2", "a [x]"]
    journal.rewind()
    assert journal.place(STEP, "a", "") == places[0]


def test_a_mismatch_names_the_argument():
    def charge(order, amount, currency="EUR"):
        del order, amount, currency

    before = mark_input(("o1", 10), {"currency": "EUR"})
    now = mark_input(("o1", 20), {"note": "x"})
    assert other_arguments(before, now, charge) == [
        "argument 2 (amount) has another value",
        "note is new",
        "currency is gone",
    ]


def test_a_record_counts_by_its_id():
    old, new = Contact(id="1", phone="1"), Contact(id="1", phone="2")
    assert mark_input((old,), {}) == mark_input((new,), {})
    assert mark_input((old,), {}) != mark_input((Contact(id="2", phone="1"),), {})
