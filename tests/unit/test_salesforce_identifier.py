"""Salesforce ids: the suffix that carries the case."""

import string

from hypothesis import given
from hypothesis import strategies as st

from dovetail.simulators.salesforce.identifier import IdSequence, case_suffix, to_id18

IDS = st.text(alphabet=string.ascii_letters + string.digits, min_size=15, max_size=15)


def test_the_suffix_is_the_platforms_own():
    # Ids as the vendor's documentation prints them.
    assert case_suffix("001D000000IqhSL") == "IAZ"
    assert case_suffix("0035e00000AbCdE") == "AAV"
    assert case_suffix("0015e00000XyZaB") == "AAV"


@given(IDS)
def test_an_id_in_lower_case_is_restored_by_its_suffix(id15):
    id18 = to_id18(id15)

    assert id18 == id15 + case_suffix(id15)
    assert to_id18(id18.lower()) == id18
    assert to_id18(id18.upper()) == id18


def test_what_cannot_be_an_id_is_none():
    for text in ("", "003", "0035e00000AbCd!", "0035e00000AbCdEAA", "0035e00000AbCdEZZZ"):
        assert to_id18(text) is None


def test_a_suffix_that_does_not_belong_to_the_id_is_refused():
    good = to_id18("0035e00000AbCdE")

    # The suffix claims a capital where there is a digit.
    assert to_id18("0035e00000AbCdE" + "B" + good[16:]) is None


def test_a_sequence_ascends_and_keeps_its_prefix():
    sequence = IdSequence("003")

    ids = [sequence.new() for _ in range(500)]

    assert ids == sorted(set(ids))
    assert all(row_id.startswith("003") and to_id18(row_id) == row_id for row_id in ids)
