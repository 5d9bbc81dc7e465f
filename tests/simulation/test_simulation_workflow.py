"""Long runs and flow control in simulated worlds: what is drawn, and what counts as a breach."""

from typing import Any, cast

import pytest

from dovetail.core import json
from dovetail.core.clock import LoopClock
from dovetail.runtime.store.schema import CANCELLED, DEAD, DONE, SLEEP, STEP, UNDO
from dovetail.testing.app import START
from dovetail.testing.simulation import Crash, Edit, World, simulate
from dovetail.testing.simulation import invariant_workflow as rules
from dovetail.testing.simulation.__main__ import describe
from dovetail.testing.simulation.bench import Bench, ErrandRow, Noted
from dovetail.testing.simulation.errand import SimulatedErrand, draw_errand, draw_sendings
from dovetail.testing.simulation.evidence import Evidence
from dovetail.testing.simulation.shop import Shop
from dovetail.testing.simulation.workshop import Story, Workshop

S = 1_000_000
ERRAND = "J1"


def entry(kind: int, step: str, until: int = 0) -> Noted:
    return Noted(kind, step, json.encode({"until": until}))


def evidence_of(errand: SimulatedErrand, status: int = DONE, **story: Any) -> Evidence:
    """Return a world in which one errand went well, as far as *story* does not say otherwise."""
    clock = LoopClock(START)
    workshop = Workshop(clock, cast(Any, None), lambda _: None)
    workshop.errands[ERRAND] = Story(errand, **story)
    workshop.confirmed.add(ERRAND)
    shop = Shop(clock, workshop)
    row = ErrandRow(status, 100 * S, [entry(STEP, "take 0"), entry(STEP, "make 0")])
    bench = Bench({ERRAND: [row]})
    bench.work["begun", ERRAND] = 1
    bench.work["errand", ERRAND] = int(status == DONE)
    return Evidence(World(), [], cast(Any, None), shop, bench=bench)


def journal(evidence: Evidence) -> list[Noted]:
    return evidence.bench.errands[ERRAND][0].journal


def found(evidence: Evidence) -> set[str]:
    return {rule.__name__ for rule in rules.WORKFLOW_INVARIANTS if list(rule(evidence))}


def plain(**fields: Any) -> SimulatedErrand:
    return SimulatedErrand(number=ERRAND, **fields)


def test_an_errand_that_went_well_breaks_nothing():
    assert found(evidence_of(plain())) == set()


def test_a_run_that_was_undone_whole_breaks_nothing():
    evidence = evidence_of(
        plain(end="fail"), DEAD, done=[(1, "take 0")], undone=[(2, "make 0"), (3, "take 0")]
    )
    journal(evidence).extend([entry(UNDO, "make 0"), entry(UNDO, "take 0")])

    assert found(evidence) == set()


def test_a_result_that_is_written_twice_is_a_breach():
    evidence = evidence_of(plain())
    evidence.bench.work["begun", ERRAND] = 2

    assert found(evidence) == {"work_is_done_once"}


def test_a_sleep_that_ends_early_is_a_breach():
    evidence = evidence_of(plain(sleep_s=60.0), reached={"sleep": 0}, woken=59 * S)
    journal(evidence).append(entry(SLEEP, "sleep ", 59 * S))

    assert found(evidence) == {"sleeps_are_whole"}


def test_a_sleep_that_ends_before_its_recorded_moment_is_a_breach():
    evidence = evidence_of(plain(sleep_s=60.0), reached={"sleep": 0}, woken=61 * S)
    journal(evidence).append(entry(SLEEP, "sleep ", 62 * S))

    assert found(evidence) == {"sleeps_are_whole"}


@pytest.mark.parametrize(
    ("outcomes", "answered"),
    [
        ([(70 * S, "time-out"), (80 * S, "answer 2 of J1")], None),
        ([(10 * S, "time-out")], None),
        ([(70 * S, "time-out")], 50 * S),
        ([(10 * S, "answer 1 of J1")], 9 * S),
    ],
)
def test_a_wait_that_ends_otherwise_than_it_should_is_a_breach(outcomes, answered):
    errand = plain(timeout_s=60.0)
    evidence = evidence_of(errand, reached={"wait": 0}, outcomes=outcomes, answered=answered)

    assert found(evidence) == {"waits_end_once"}


def test_undoing_in_the_order_of_recording_is_a_breach():
    evidence = evidence_of(plain(end="fail"), DEAD, undone=[(2, "take 0"), (3, "make 0")])
    journal(evidence).extend([entry(UNDO, "take 0"), entry(UNDO, "make 0")])

    assert found(evidence) == {"undoing_goes_backwards"}


@pytest.mark.parametrize("status", [DEAD, CANCELLED])
def test_a_run_that_ends_with_something_not_undone_is_a_breach(status):
    evidence = evidence_of(plain(end="fail", cancel_s=1.0), status, undone=[(2, "make 0")])
    journal(evidence).append(entry(UNDO, "make 0"))

    assert found(evidence) == {"nothing_stays_half_done"}


def test_a_cancelled_run_that_goes_on_is_a_breach():
    evidence = evidence_of(
        plain(), done=[(1, "take 0"), (9, "make 0")], cancelled=[(5, "cancelling")]
    )

    assert found(evidence) == {"cancelled_runs_stop"}


def test_a_run_that_is_woken_for_nothing_is_a_breach():
    assert found(evidence_of(plain(), passes=101)) == {"runs_make_progress"}


def test_a_rate_that_is_exceeded_is_a_breach():
    evidence = evidence_of(plain())
    evidence.shop.workshop.told = [0, 1 * S, 19 * S]
    assert found(evidence) == {"rates_hold"}

    evidence.shop.workshop.told = [0, 1 * S, 20 * S]
    assert found(evidence) == set()


@pytest.mark.parametrize("seen", [[(40 * S, 4, 0)], [(29 * S, 5, 0)], []])
def test_a_debounced_key_that_is_not_served_with_its_latest_event_after_quiet_is_a_breach(seen):
    evidence = evidence_of(plain())
    evidence.shop.workshop.confirmed.add("S1")
    evidence.shop.workshop.counted["S1"] = seen

    assert found(evidence) == {"the_latest_is_served"}


def test_orders_bring_every_kind_of_errand_and_of_flow_control():
    errands = [errand for seed in range(300) if (errand := draw_errand(seed)) is not None]
    numbers = {one.options["key"][0] for seed in range(100) for one in draw_sendings(seed)}

    assert {errand.end for errand in errands} == {"done", "fail", "break", "mend"}
    assert {errand.cancel_s >= 0 for errand in errands} == {
        errand.answer_s >= 0 for errand in errands
    }
    assert any(errand.sleep_s for errand in errands)
    assert numbers == {"W", "S", "P"}


def test_a_debounced_key_is_judged_by_all_that_a_restart_brings():
    # It ran before it was quiet: its first event had waited long enough, and the others of the
    # same key had been read, but not yet counted.
    outcome = simulate(
        World(
            seed=3,
            records=1,
            duration_s=1_800.0,
            poll_interval_s=300.0,
            edits=(Edit(at_s=100.0, kind="order", side=0, seed=306504508),),
            crashes=(Crash(at_s=114.0, after="commit", count=1, turns=1, down_s=2.0),),
        )
    )

    assert outcome.ok, describe(outcome)


def test_what_came_due_while_nothing_ran_comes_after_what_was_open():
    # The younger, delayed events of a debounced key were handled before the oldest one, which
    # then counted as the latest.
    outcome = simulate(
        World(
            seed=5,
            records=1,
            duration_s=1_800.0,
            poll_interval_s=300.0,
            edits=(Edit(at_s=100.0, kind="order", side=0, seed=306504508),),
            crashes=(Crash(at_s=99.999, after="commit", count=5, turns=1, down_s=103.4),),
        )
    )

    assert outcome.ok, describe(outcome)
