"""Tokens that end under the simulation: worlds in which they do, and what counts as a mistake."""

import random

import pytest

from dovetail.testing.simulation import Crash, Edit, FaultSpan, Oauth, World, simulate
from dovetail.testing.simulation.__main__ import describe
from dovetail.testing.simulation.evidence import Evidence
from dovetail.testing.simulation.invariant_tokens import (
    one_renewal_serves_all,
    refused_grants_are_not_insisted_on,
    token_endpoints_are_left_alone,
    used_refresh_tokens_rest,
)
from dovetail.testing.simulation.terms import draw_oauth
from dovetail.testing.simulation.tokens import Asked, Tokens

URL = "http://hubspot.test/oauth/v1/token"
ENDING = {
    "the answer with the only good refresh token is lost": World(
        seed=71,
        records=5,
        duration_s=1_800.0,
        poll_interval_s=60.0,
        oauth=(Oauth(0, 400.0, single_use=True), Oauth(1, 30.0, single_use=True)),
        edits=tuple(Edit(at_s=150.0 * n, kind="change", side=n % 2, seed=n) for n in range(12)),
        faults=(
            FaultSpan(300.0, 300.0, 0, "cut_after", 1.0, path="*/token"),
            FaultSpan(700.0, 200.0, 1, "cut_after", 1.0, path="*/token"),
        ),
    ),
    "the process dies between the answer and its save": World(
        seed=72,
        records=5,
        duration_s=1_800.0,
        poll_interval_s=60.0,
        oauth=(Oauth(0, 400.0, single_use=True), Oauth(1, 30.0, single_use=True)),
        edits=tuple(Edit(at_s=150.0 * n, kind="change", side=n % 2, seed=n) for n in range(12)),
        crashes=tuple(Crash(150.0 * n, "tokens", 1, 0, 5.0) for n in range(1, 9)),
    ),
}


@pytest.mark.parametrize("what", ENDING)
def test_work_goes_on_after_a_person_connected_again(what):
    outcome = simulate(ENDING[what])

    assert outcome.ok, describe(outcome)
    assert outcome.virtual_s > 1_800


def test_tokens_end_in_some_worlds_and_the_rest_of_a_world_stays_as_it_was():
    drawn = [World.random(seed) for seed in range(60)]

    with_oauth = [world for world in drawn if world.oauth]
    assert 5 < len(with_oauth) < 30
    assert any(span.path != "*" for world in with_oauth for span in world.faults)
    assert any(crash.after == "tokens" for world in with_oauth for crash in world.crashes)
    assert all(span.path == "*" for world in drawn if not world.oauth for span in world.faults)
    assert draw_oauth(random.Random(5), 2) == draw_oauth(random.Random(5), 2)


def evidence_of(*asked, unsaved=()):
    tokens = Tokens(list(asked), unsaved=set(unsaved))
    return Evidence(world=None, sides=(), people=None, shop=None, tokens=tokens)


def ask(began_s, *, token="r1", life="1", took_s=1.0, **more):
    ended_s = None if took_s is None else began_s + took_s
    return Asked(URL, token, life, began_s, ended_s, **more)


def answered(began_s, **more):
    return ask(began_s, status=200, gave="r2", **more)


@pytest.mark.parametrize(
    ("invariant", "broken", "kept"),
    [
        (one_renewal_serves_all, [ask(0), ask(0.5)], [ask(0), ask(4)]),
        (
            one_renewal_serves_all,
            [ask(0, took_s=None), ask(20, life="2")],
            [ask(0, took_s=None), ask(61, life="2")],
        ),
        (used_refresh_tokens_rest, [answered(0), ask(90)], [answered(0), ask(90, token="r2")]),
        (used_refresh_tokens_rest, [answered(0), ask(90, life="2")], []),
        (token_endpoints_are_left_alone, [ask(0), ask(1.5)], [ask(0), ask(3)]),
        (
            token_endpoints_are_left_alone,
            [ask(0, status=429, wait_s=20), ask(15)],
            [ask(0, status=429, wait_s=20), ask(21)],
        ),
        (
            refused_grants_are_not_insisted_on,
            [ask(5 * n, status=400) for n in range(20)],
            [ask(300 * n, status=400) for n in range(20)],
        ),
    ],
)
def test_a_mistake_with_tokens_is_told_from_what_has_to_be(invariant, broken, kept):
    assert list(invariant(evidence_of(*broken)))
    assert not list(invariant(evidence_of(*kept)))


def test_a_process_that_died_with_the_answer_may_send_the_old_token_again():
    asked = [answered(0), ask(90, life="2")]

    assert not list(used_refresh_tokens_rest(evidence_of(*asked, unsaved=["1"])))
    assert list(used_refresh_tokens_rest(evidence_of(*asked)))
