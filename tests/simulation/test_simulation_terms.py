"""Quotas that bind and bulk jobs under the simulation."""

import random
from types import SimpleNamespace

import pytest

from dovetail.testing.simulation import Crash, Edit, Quota, World, simulate
from dovetail.testing.simulation.__main__ import describe
from dovetail.testing.simulation.evidence import Evidence
from dovetail.testing.simulation.invariant_runtime import limits_hold, quotas_are_used
from dovetail.testing.simulation.people import Side
from dovetail.testing.simulation.terms import draw_quotas

EDITS = tuple(Edit(at_s=100.0 * n, kind="change", side=n % 2, seed=n) for n in range(12))
STORMS = tuple(Edit(at_s=100.0 * n + 1, kind="audit", side=0, seed=4 * n + 1) for n in range(4))
SCARCE = {
    "two businesses share an account": World(
        seed=81,
        records=5,
        duration_s=1_800.0,
        poll_interval_s=60.0,
        quotas=(Quota(0, burst=12, shared=True),),
        edits=tuple(sorted((*EDITS, *STORMS), key=lambda edit: edit.at_s)),
        crashes=(Crash(101.0, "call", 8, 0, 0.5), Crash(201.0, "call", 8, 0, 0.5)),
    ),
    "a day's calls are used up": World(
        seed=82,
        records=5,
        duration_s=1_800.0,
        poll_interval_s=3_600.0,
        quotas=(Quota(1, daily=12),),
        edits=EDITS,
    ),
    "bulk jobs read and write": World(
        seed=83,
        records=12,
        duration_s=1_800.0,
        poll_interval_s=300.0,
        bulk_from=2,
        edits=EDITS,
        crashes=(Crash(300.0, "call", 3, 0, 5.0),),
    ),
}


@pytest.mark.parametrize("what", SCARCE)
def test_everything_arrives_within_the_limits(what):
    outcome = simulate(SCARCE[what])

    assert outcome.ok, describe(outcome)
    # What a day has no calls for is done on the next one.
    assert (outcome.virtual_s > 80_000) == ("day" in what)


def test_calls_are_short_in_some_worlds():
    drawn = [World.random(seed) for seed in range(100)]

    quotas = [quota for world in drawn for quota in world.quotas]
    assert {quota.side for quota in quotas} > {0, 1}
    assert any(quota.shared for quota in quotas)
    assert any(world.is_short_of_calls for world in drawn)
    assert any(world.bulk_from for world in drawn)
    assert sum(1 for world in drawn if world.quotas) < 40
    again = [draw_quotas(random.Random(3), ("hubspot", "salesforce"), 1, ()) for _ in range(2)]
    assert again[0] == again[1]


def evidence_of(peak, readings=()):
    limit = SimpleNamespace(name="burst", limit=12, peak=peak)
    simulator = SimpleNamespace(platform="hubspot", limits=[limit])
    side = Side(0, "default", simulator, "connection", "contacts", {})
    shop = SimpleNamespace(readings=list(readings))
    world = World(quotas=(Quota(0, burst=12, shared=True),))
    return Evidence(world, [side], None, shop)


def test_a_window_with_too_many_calls_is_a_breach():
    assert list(limits_hold(evidence_of(13)))
    assert not list(limits_hold(evidence_of(12)))


def test_calls_that_are_left_while_work_waits_are_a_breach():
    assert list(quotas_are_used(evidence_of(4, [("hubspot", 24)])))
    assert not list(quotas_are_used(evidence_of(11, [("hubspot", 24)])))
    assert not list(quotas_are_used(evidence_of(4)))
