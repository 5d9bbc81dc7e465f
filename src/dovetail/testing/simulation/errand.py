"""What people order of the workshop: long errands, and events that meet flow control."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any, NamedTuple

from dovetail.model.entity import Entity
from dovetail.model.event import EventName, EventType

NEWS, REVISIONS, PRESSES = 5, 6, 4
REVISION_S = 4.0
"""How far the revisions of one stock are apart: less than the quiet time of their handler."""
TAKES_S = 0.1
"""How long the first of several steps takes; each takes that much longer than the one before."""
MADE = 3
"""Steps of an errand that go on side by side."""
ROUND = 2
"""Which answer an errand waits for; there is another one."""

_LONG_SLEEP_S = 1_500.0


class SimulatedErrand(Entity):
    """
    A run that takes minutes.

    Attributes:
        parts: What is taken at first, and given back when the errand does not come to its end.
        sleep_s: How long it sleeps.
        answer_s: After how long somebody answers; never when negative.
        timeout_s: How long it waits for the answer.
        looks_back: Whether an answer counts that came before it waited.
        cancel_s: After how long somebody wants it no more; never when negative.
        flaky: A step, the undoing of one, or the answer, that fails at its first try.
        end: done; fail: it fails for good; break: a step fails for good beside others; mend: the
            handler takes back what it did, and goes on.
    """

    number: str = ""
    parts: int = 1
    sleep_s: float = 0.0
    answer_s: float = -1.0
    timeout_s: float = 60.0
    looks_back: bool = True
    cancel_s: float = -1.0
    flaky: str = ""
    end: str = "done"
    wanted = EventName()
    unwanted = EventName()


class SimulatedAnswer(Entity):
    """What an errand waits for."""

    number: str = ""
    round: int = 0
    asked = EventName()
    given = EventName()


class SimulatedNews(Entity):
    """Told at a bounded rate."""

    number: str = ""
    told = EventName()


class SimulatedStock(Entity):
    """Counted again when it has been quiet for a while."""

    number: str = ""
    revision: int = 0
    changed = EventName()


class SimulatedPress(Entity):
    """Work at a machine that does one thing at a time."""

    number: str = ""
    wanted = EventName()


class SimulatedWork(Entity):
    """What a handler of the workshop wrote; `what` says which."""

    __emits__ = False
    what: str = ""
    number: str = ""


class Sending(NamedTuple):
    """An event that is sent, with its key and delay."""

    event_type: EventType[Any]
    told: dict[str, Any]
    options: dict[str, Any]


def draw_errand(seed: int) -> SimulatedErrand | None:
    """Return the errand that comes with an order, if one does."""
    rng = random.Random(f"errand/{seed}")
    if rng.random() < 0.3:
        return None
    sleep_s = rng.choice((0.0, 30.0, 120.0, 120.0, 600.0))
    timeout_s = rng.choice((30.0, 90.0, 240.0))
    cancel_s = -1.0
    if rng.random() < 0.3:
        sleep_s = rng.choice((sleep_s, _LONG_SLEEP_S))
        cancel_s = round(rng.uniform(0.1, min(sleep_s, 200.0) + timeout_s), 1)
    # Before the wait, within it, at its very end, or never.
    waited = rng.choice((-0.5, 0.3, 0.9, 1.0, 1.0, 2.0))
    answer_s = -1.0 if waited == 2.0 else max(sleep_s + waited * timeout_s, 0.1)
    end = rng.choice(("done", "done", "done", "fail", "break", "mend"))
    parts = rng.randrange(1, 4)
    last = rng.randrange(parts)
    undo = rng.choice((f"undo take {last}", "undo make 2"))
    flaky = rng.choice(("", "make 1", f"take {last}", undo, "answer"))
    return SimulatedErrand(
        number=f"J{seed}",
        parts=parts,
        sleep_s=sleep_s,
        answer_s=answer_s,
        timeout_s=timeout_s,
        looks_back=rng.random() < 0.6,
        cancel_s=cancel_s,
        flaky=flaky,
        end=end,
    )


def order_moments(seed: int) -> dict[str, float]:
    """Return after how many seconds something of an order goes on, and why."""
    moments: dict[str, float] = {}
    if any(one.event_type == SimulatedStock.changed for one in draw_sendings(seed)):
        # Between two revisions, when the first of them have waited long enough.
        moments["changed"] = (REVISIONS - 2.5) * REVISION_S
    errand = draw_errand(seed)
    if errand is not None:
        # What is taken takes its time before anything else is counted.
        begun = sum(TAKES_S * (1 + part) for part in range(errand.parts))
        later = {
            "woken": errand.sleep_s,
            "answered": errand.answer_s,
            "timed out": errand.sleep_s + errand.timeout_s,
            "cancelled": errand.cancel_s,
        }
        moments |= {why: begun + after for why, after in later.items() if after > 0}
    return moments


def draw_sendings(seed: int) -> list[Sending]:
    """Return what of flow control comes with an order."""
    rng = random.Random(f"flow/{seed}")
    found: list[Sending] = []
    for what in rng.sample(("news", "stock", "press", ""), 2):
        if what == "news":
            found += [
                Sending(SimulatedNews.told, {"number": f"W{seed}.{n}"}, {"key": f"W{seed}.{n}"})
                for n in range(NEWS)
            ]
        elif what == "stock":
            found += [_revision(f"S{seed}", n) for n in range(REVISIONS)]
        elif what == "press":
            found += [
                Sending(SimulatedPress.wanted, {"number": f"P{seed}.{n}"}, {"key": f"P{seed}.{n}"})
                for n in range(PRESSES)
            ]
    return found


def _revision(number: str, revision: int) -> Sending:
    delay = timedelta(seconds=revision * REVISION_S) if revision else None
    told = {"number": number, "revision": revision}
    return Sending(SimulatedStock.changed, told, {"key": number, "delay": delay})
