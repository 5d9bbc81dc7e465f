"""The promises of long runs and of flow control, each as a function that looks for a breach."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from dovetail.core import json
from dovetail.runtime.store.schema import CANCELLED, DEAD, DONE
from dovetail.testing.simulation.bench import ErrandRow
from dovetail.testing.simulation.errand import REVISION_S, REVISIONS, ROUND
from dovetail.testing.simulation.evidence import Evidence
from dovetail.testing.simulation.invariant_runtime import Found
from dovetail.testing.simulation.workshop import MOST_PASSES, QUIET, RATE, Story

_STOPS_WITHIN_S = 900.0
"""Deaths of the process, a database that refuses, and tries again of an undo take their time."""


def work_is_done_once(evidence: Evidence) -> Found:
    """What handlers wrote and sent is there exactly once, whatever held, woke or stopped them."""
    bench, shop = evidence.bench, evidence.shop.workshop
    for (what, number), count in sorted(bench.work.items()):
        if count > 1:
            yield f"{what} of {number} was written {count} times", (number,)
    for (event_type, number), count in sorted(bench.sent.items()):
        if count > 1:
            yield f"{event_type} of {number} was sent {count} times", (number,)
    for number in sorted(shop.confirmed):
        for what in _expected(number):
            if not bench.work[what, number]:
                yield f"{what} of {number} was never written", (number,)
        if number in shop.errands and len(bench.errands.get(number, ())) != 1:
            yield f"errand {number} has {len(bench.errands.get(number, ()))} runs", (number,)


def runs_leave_what_they_wrote(evidence: Evidence) -> Found:
    """What a run wrote before it slept stays; its result is there when it is done."""
    bench = evidence.bench
    for story, row in _errands(evidence):
        errand, begun = story.errand, row.status in (DONE, DEAD)
        if begun and not bench.work["begun", errand.number]:
            yield (
                f"what errand {errand.number} wrote before it slept is not there",
                (errand.number,),
            )
        if (
            begun
            and errand.answer_s >= 0
            and not bench.sent["simulated_answer.asked", errand.number]
        ):
            yield f"what errand {errand.number} sent before it slept is not there", (errand.number,)
        if (row.status == DONE) != bool(bench.work["errand", errand.number]):
            yield (
                f"errand {errand.number} has status {row.status} and another result",
                (errand.number,),
            )


def recorded_work_rests(evidence: Evidence) -> Found:
    """No step and no undo of an errand runs again once it is recorded."""
    for number, what in evidence.shop.workshop.repeated:
        yield f"{what} of {number} ran again after it was recorded", (number,)


def sleeps_are_whole(evidence: Evidence) -> Found:
    """No run goes on before its sleep is over."""
    for story, row in _errands(evidence):
        errand = story.errand
        if not errand.sleep_s or story.woken is None:
            continue
        if story.woken - story.reached["sleep"] < errand.sleep_s * 1e6:
            yield (
                f"errand {errand.number} woke after less than {errand.sleep_s} s",
                (errand.number,),
            )
        if row.sleep is None:
            yield f"the sleep of errand {errand.number} is not recorded", (errand.number,)
        elif story.woken < json.decode(row.sleep.result)["until"]:
            yield f"errand {errand.number} woke before its recorded moment", (errand.number,)


def runs_make_progress(evidence: Evidence) -> Found:
    """No run is woken again and again with nothing to do."""
    for number, story in evidence.shop.workshop.errands.items():
        if story.passes > MOST_PASSES:
            yield f"the handler of errand {number} was called {story.passes} times", (number,)


def waits_end_once(evidence: Evidence) -> Found:
    """A wait ends with the event that fits, or with its time-out: one of them, in every pass."""
    for story, _ in _errands(evidence):
        errand, outcomes = story.errand, story.outcomes
        if len({what for _, what in outcomes}) > 1:
            yield f"the wait of {errand.number} ended as {outcomes}", (errand.number,)
        least = story.reached.get("wait", 0) + int(errand.timeout_s * 1e6)
        for at, what in outcomes[:1]:
            if what == "time-out" and at < least:
                yield f"the wait of {errand.number} timed out early", (errand.number,)
            is_heard = errand.looks_back or story.listened
            in_time = story.answered is not None and story.answered < least
            if what == "time-out" and is_heard and in_time:
                yield f"the wait of {errand.number} missed its answer", (errand.number,)
            if what not in ("time-out", f"answer {ROUND} of {errand.number}"):
                yield f"the wait of {errand.number} ended with {what}", (errand.number,)


def delays_are_kept(evidence: Evidence) -> Found:
    """What is sent with a delay does not arrive before."""
    for story in evidence.shop.workshop.errands.values():
        begun = [at for at, what in story.done if what == "take 0"]
        if story.asked is not None and story.asked - begun[0] < story.errand.answer_s * 1e6:
            yield f"the question of {story.errand.number} came early", (story.errand.number,)


def undoing_goes_backwards(evidence: Evidence) -> Found:
    """Steps are taken back in exactly the reverse order of their recording, and none follows."""
    for story, row in _errands(evidence):
        number = story.errand.number
        whole = row.to_undo[::-1]
        if row.undone and row.undone != whole[: len(row.undone)]:
            yield f"{number} recorded {row.to_undo} and undid {row.undone}", (number,)
        # One that was not recorded is done again, before any other.
        seen = [what for what, _ in itertools.groupby(what for _, what in story.undone)]
        if seen != whole[: len(seen)]:
            yield f"{number} recorded {row.to_undo} and undid, in effect, {seen}", (number,)
        later = [what for at, what in story.done if story.undone and at > story.undone[0][0]]
        if later:
            yield f"{number} was being undone and went on with {later}", (number,)


def nothing_stays_half_done(evidence: Evidence) -> Found:
    """Of a run that was given up or cancelled, every recorded step was taken back."""
    for story, row in _errands(evidence):
        number, left = story.errand.number, set(row.to_undo) - set(row.undone)
        if row.status in (DEAD, CANCELLED) and left:
            yield f"errand {number} ended with {sorted(left)} not undone", (number,)
        if row.status == DONE and row.undone and (left or story.errand.end != "mend"):
            yield f"errand {number} is done and {row.undone} was undone", (number,)
        if {what for _, what in story.undone} - set(row.undone):
            yield f"errand {number} does not know all that it undid: {row.undone}", (number,)
        if row.status == DONE and story.errand.end in ("fail", "break"):
            yield f"errand {number} is done although it failed", (number,)


def cancelled_runs_stop(evidence: Evidence) -> Found:
    """A run that was told to stop begins no step, and ends soon."""
    for story, row in _errands(evidence):
        number = story.errand.number
        for at, answer in story.cancelled:
            if answer == "over":
                continue
            later = [what for moment, what in story.done if moment > at]
            if later:
                yield f"errand {number} was cancelled and went on with {later}", (number,)
            if row.finished_at is not None and row.finished_at - at > _STOPS_WITHIN_S * 1e6:
                late_s = (row.finished_at - at) / 1e6
                yield f"errand {number} was cancelled and ended {late_s:.0f} s later", (number,)


def rates_hold(evidence: Evidence) -> Found:
    """In no window do more runs begin than the throttle allows."""
    told = evidence.shop.workshop.told
    for first, last in zip(told, told[RATE.limit :], strict=False):
        if last - first < RATE.per_s * 1e6:
            yield f"{RATE.limit + 1} runs in {(last - first) / 1e6} s; {RATE}", ()


def one_at_a_time(evidence: Evidence) -> Found:
    """With a concurrency of one, and in a singleton, runs do not overlap."""
    for what in evidence.shop.workshop.overlaps:
        yield f"{what} began while another one ran", (what.split()[-1],)


def the_latest_is_served(evidence: Evidence) -> Found:
    """A debounced key is served when it is quiet, and in the end with its latest event."""
    shop = evidence.shop.workshop
    for number in sorted(shop.confirmed | set(shop.counted)):
        if not number.startswith("S"):
            continue
        seen = shop.counted.get(number, [])
        if not seen or seen[-1][1] != REVISIONS - 1:
            yield f"stock {number} was last counted at {seen[-1:]}", (number,)
        if [one[1] for one in seen] != sorted(one[1] for one in seen):
            yield f"stock {number} was counted in the order {seen}", (number,)
        for at, revision, sent_at in seen:
            due = sent_at + int(revision * REVISION_S * 1e6)
            if at < min(due + QUIET.quiet_s * 1e6, sent_at + QUIET.max_wait_s * 1e6):
                late_s = (at - sent_at) / 1e6
                what = f"stock {number} was counted at {revision} after {late_s} s"
                yield f"{what}, before it was quiet", (number,)


def _errands(evidence: Evidence) -> Iterator[tuple[Story, ErrandRow]]:
    stories = evidence.shop.workshop.errands
    for number, rows in sorted(evidence.bench.errands.items()):
        for row in rows:
            yield stories[number], row


def _expected(number: str) -> tuple[str, ...]:
    return {"W": ("news",), "P": ("press", "mill", "lathe")}.get(number[0], ())


WORKFLOW_INVARIANTS: tuple[Callable[[Evidence], Found], ...] = (
    work_is_done_once,
    runs_leave_what_they_wrote,
    recorded_work_rests,
    sleeps_are_whole,
    runs_make_progress,
    waits_end_once,
    delays_are_kept,
    undoing_goes_backwards,
    nothing_stays_half_done,
    cancelled_runs_stop,
    rates_hold,
    one_at_a_time,
    the_latest_is_served,
)
