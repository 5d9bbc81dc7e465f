"""Whole worlds: those that broke a promise once, and every run some that nobody has seen."""

import os
import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from dovetail.testing.simulation import Edit, FaultSpan, World, simulate
from dovetail.testing.simulation.__main__ import describe
from dovetail.testing.simulation.shrink import shrink

# Shrunk; each with what broke in it.
ONCE_FAILED = {
    "a platform told of a new record before its create, cut off, was repeated": World(
        seed=20,
        records=1,
        duration_s=1_800.0,
        poll_interval_s=60.0,
        deletes="propagate",
        edits=(
            Edit(at_s=1766.919, kind="create", side=1, seed=2015266451),
            Edit(at_s=1783.101, kind="bulk", side=0, seed=354668443),
        ),
        faults=(
            FaultSpan(
                at_s=1779.4,
                length_s=26.2,
                side=0,
                kind="cut_after",
                probability=0.7,
                seconds=20.0,
            ),
        ),
    ),
    "webhooks that were refused at the start were never asked for again": World(
        seed=60,
        records=1,
        keyless=0.1,
        duration_s=1_800.0,
        poll_interval_s=60.0,
        deletes="propagate",
        edits=(Edit(at_s=982.58, kind="delete", side=0, seed=27778486),),
        faults=(
            FaultSpan(at_s=-60.0, length_s=294.9, side=0, kind="expired_token", probability=0.7),
        ),
    ),
}
ROOT = Path(__file__).resolve().parents[2]
FRESH_S = 25.0
PEOPLE, LENGTH_S = 20, 1_800.0


@pytest.mark.parametrize("what", ONCE_FAILED)
def test_a_world_that_broke_a_promise_once_keeps_it(what):
    outcome = simulate(ONCE_FAILED[what])

    assert outcome.ok, describe(outcome)


def test_fresh_worlds_keep_every_promise(capsys):
    base = random.SystemRandom().randrange(10**9)
    options = f" --records {PEOPLE} --duration {LENGTH_S:g}"
    draw = partial(World.random, records=PEOPLE, duration_s=LENGTH_S)
    end = time.monotonic() + FRESH_S
    seed = base
    while time.monotonic() < end:
        outcome = simulate(draw(seed))
        assert outcome.ok, describe(shrink(outcome, simulate, most_tries=15), options)
        seed += 1

    with capsys.disabled():
        sys.stdout.write(
            f"\n{seed - base} fresh worlds, again with: python -m dovetail.testing.simulation "
            f"--base {base} --seeds {seed - base}{options}\n"
        )
    assert seed > base


def test_a_program_of_ones_own_is_simulated():
    world = World.random(3, records=5, duration_s=600.0)

    outcome = simulate(world, ROOT / "examples" / "crm_sync.py")

    assert outcome.ok, describe(outcome, " examples/crm_sync.py")
    assert outcome.calls > 0


@pytest.mark.real_time
def test_a_seed_has_one_trace_whatever_the_process():
    def hashes(hash_seed):
        command = [sys.executable, "-m", "dovetail.testing.simulation"]
        options = ["--base", "40", "--seeds", "3", "--jobs", "1", "--records", "20", "--hashes"]
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [*command, *options], env=environ, capture_output=True, text=True, check=True
        )
        return [line for line in done.stdout.splitlines() if line.split()[0] in ("40", "41", "42")]

    first, second = hashes("1"), hashes("2")

    assert len(first) == 3
    assert first == second
