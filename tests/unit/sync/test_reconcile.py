"""The three-way compare: rules one by one, and what holds for every input."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.sync.policy import INTERNAL, Claim, Rules
from dovetail.sync.reconcile import reconcile

SPOKES = ("a", "b", "c")
PRIORITIES = {"a": 0, "b": 1, "c": 2}
PLATFORMS = {"a": "salesforce", "b": "hubspot", "c": "zendesk"}


def rules(policy="last-write-wins", **fields):
    return Rules(policy=policy, fields=fields, priorities=PRIORITIES, platforms=PLATFORMS)


def look(base, ours, theirs, *, our_time=1, their_time=2, origin=INTERNAL, by=None, **more):
    return reconcile(
        base=base,
        base_ours=more.pop("base_ours", {}),
        ours={name: Claim(value, our_time, origin) for name, value in ours.items()},
        theirs={name: Claim(value, their_time, "b") for name, value in theirs.items()},
        rules=by or rules(),
        **more,
    )


def test_a_change_on_their_side_alone_is_copied():
    decision = look({"x": "old"}, {"x": "old"}, {"x": "new"}, our_time=9, their_time=2)

    assert decision.changes == {"x": "new"}
    assert decision.claims["x"] == Claim("new", 2, "b")
    assert not decision.conflicts


def test_a_change_on_our_side_alone_is_left_to_the_push():
    decision = look({"x": "old"}, {"x": "new"}, {"x": "old"})

    assert not decision.changes
    assert not decision.settled


def test_the_same_change_on_both_sides_is_no_conflict():
    decision = look({"x": "old"}, {"x": "new"}, {"x": "new"})

    assert (decision.changes, decision.conflicts, decision.settled) == ({}, [], {"x"})


def test_a_value_that_the_platform_normalised_is_not_taken_for_our_edit():
    decision = look(
        {"x": "(1) 2"}, {"x": "12"}, {"x": "99"}, base_ours={"x": "12"}, our_time=9, their_time=2
    )

    assert decision.changes == {"x": "99"}
    assert not decision.conflicts


@pytest.mark.parametrize(("our_time", "winner"), [(1, "theirs"), (3, "ours")])
def test_the_last_write_wins(our_time, winner):
    decision = look({"x": "old"}, {"x": "ours"}, {"x": "theirs"}, our_time=our_time)

    assert decision.changes.get("x", "ours") == winner
    assert decision.conflicts[0].winner.value == winner


def test_emptying_a_field_is_an_edit_like_any_other():
    assert look({"x": "old"}, {"x": "old"}, {"x": None}).changes == {"x": None}


def test_a_field_that_was_not_told_is_not_empty():
    assert look({"x": "old"}, {"x": "old"}, {}).changes == {}


def test_on_a_first_link_a_blank_yields_whatever_the_times():
    assert look({}, {"x": None}, {"x": "theirs"}, our_time=9).changes == {"x": "theirs"}
    assert look({}, {"x": "ours"}, {"x": None}, their_time=9).changes == {}


def test_manual_review_freezes_the_field_and_lets_the_rest_go_on():
    decision = look(
        {"x": "old", "y": "old"},
        {"x": "ours", "y": "old"},
        {"x": "theirs", "y": "new"},
        by=rules("manual-review"),
    )

    assert decision.changes == {"y": "new"}
    assert [one.winner for one in decision.conflicts] == [None]


def test_a_frozen_field_thaws_when_the_sides_agree():
    waiting = look({"x": "old"}, {"x": "ours"}, {"x": "theirs"}, frozen={"x"})
    agreed = look({"x": "old"}, {"x": "theirs"}, {"x": "theirs"}, frozen={"x"})

    assert (waiting.changes, waiting.agreed) == ({}, set())
    assert agreed.agreed == {"x"}


@pytest.mark.parametrize(
    ("policy", "origin", "winner"),
    [
        ("prefer-internal", INTERNAL, "ours"),
        ("prefer-external", INTERNAL, "theirs"),
        # Between two platforms neither word decides: time does.
        ("prefer-internal", "a", "theirs"),
        ("prefer-external", "a", "theirs"),
        ("hubspot", "a", "theirs"),
        ("salesforce", "a", "ours"),
    ],
)
def test_policies_that_name_a_side(policy, origin, winner):
    their_time = 0 if policy == "prefer-external" and origin == INTERNAL else 2
    decision = look(
        {"x": "old"},
        {"x": "ours"},
        {"x": "theirs"},
        origin=origin,
        their_time=their_time,
        by=rules(policy),
    )

    assert decision.conflicts[0].winner.value == winner


@pytest.mark.parametrize(
    ("policy", "base", "ours", "theirs", "result"),
    [
        ("prefer-non-blank", "old", "ours", None, "ours"),
        ("max", "1", "9", "10", "10"),
        ("max", "1", None, "3", "3"),
        ("min", "5", "9", "10", "9"),
        ("union", ["a", "b"], ["a", "c"], ["a", "b", "d"], ["a", "c", "d"]),
    ],
)
def test_policies_of_one_field(policy, base, ours, theirs, result):
    decision = look({"x": base}, {"x": ours}, {"x": theirs}, by=rules(x=policy))

    assert decision.changes.get("x", ours) == result


# What holds for every input: three platforms and an edit of ours, in any order of delivery.

VALUES = st.sampled_from(["p", "q", "r", None])
LISTS = st.lists(st.sampled_from("pqrs"), max_size=3, unique=True).map(sorted)
DECIDING = st.sampled_from(
    ["last-write-wins", "prefer-internal", "prefer-external", "prefer-non-blank", "hubspot"]
)


class World:
    """A hub and its platforms, without anything around them."""

    def __init__(self, base, ours, by, linked):
        self.rules = by
        self.value = ours
        self.bases = {name: ({"x": base} if linked else {}) for name in SPOKES}

    def deliver(self, name, value, at):
        base = self.bases[name]
        decision = reconcile(
            base=base,
            base_ours={},
            ours={"x": self.value},
            theirs={"x": Claim(value, at, name)},
            rules=self.rules,
        )
        self.value = decision.claims.get("x", self.value)
        if "x" in decision.settled:
            base["x"] = value
        return decision


def outcomes(base, ours, told, by, linked):
    for order in permutations(told):
        world = World(base, ours, by, linked)
        for name in order:
            world.deliver(name, *told[name])
        yield world.value.value


def start(base, ours, our_time):
    if ours == base:
        return Claim(base, 0, "a")
    return Claim(ours, our_time, INTERNAL)


def tell(values):
    return st.fixed_dictionaries({name: st.tuples(values, st.integers(1, 4)) for name in SPOKES})


@settings(max_examples=400)
@given(VALUES, VALUES, st.integers(1, 4), tell(VALUES), DECIDING)
def test_the_order_of_delivery_does_not_matter(base, ours, our_time, told, policy):
    results = set(outcomes(base, start(base, ours, our_time), told, rules(policy), linked=True))

    assert len(results) == 1
    assert results <= {base, ours, *(value for value, _ in told.values())}


@settings(max_examples=300)
@given(VALUES, st.integers(1, 4), tell(VALUES), DECIDING)
def test_nor_does_it_on_the_first_sync(ours, our_time, told, policy):
    claim = Claim(ours, our_time if ours else 0, INTERNAL)
    results = set(outcomes(None, claim, told, rules(policy), linked=False))

    assert len(results) == 1


@settings(max_examples=200)
@given(LISTS, tell(LISTS))
def test_a_union_keeps_what_was_added_and_drops_what_was_removed(base, told):
    results = list(outcomes(base, Claim(base, 0, "a"), told, rules(x="union"), linked=True))
    lists = [set(value) for value, _ in told.values()]
    added = set().union(*lists) - set(base)
    kept = set(base).intersection(*lists)

    assert all(set(result) == added | kept for result in results)


@settings(max_examples=200)
@given(st.sampled_from(["max", "min"]), st.permutations([0, 1, 2]), st.integers(1, 4))
def test_the_greatest_and_least_do_not_depend_on_order_either(policy, times, base):
    told = {name: (str(10 * (n + 1)), times[n]) for n, name in enumerate(SPOKES)}
    results = set(outcomes(str(base), Claim(str(base), 0, "a"), told, rules(x=policy), linked=True))

    assert results == ({"30"} if policy == "max" else {"10"})


@settings(max_examples=200)
@given(VALUES, VALUES, tell(VALUES), DECIDING)
def test_telling_the_same_again_changes_nothing(base, ours, told, policy):
    world = World(base, start(base, ours, 2), rules(policy), linked=True)
    for name, (value, at) in told.items():
        world.deliver(name, value, at)
    held = world.value
    for name, (value, at) in told.items():
        again = world.deliver(name, value, at)
        assert not again.changes
        assert not again.conflicts
    assert world.value == held
