"""Handlers that sleep, wait, take back and are held, and the outside world that they act on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from dovetail.core.clock import Clock, to_micros
from dovetail.errors import WaitTimeoutError
from dovetail.model.event import Event
from dovetail.runtime.context import RunContext, current
from dovetail.runtime.flow import Concurrency, Debounce, Throttle
from dovetail.runtime.retry import Retry
from dovetail.runtime.store.schema import CANCELLED, DEAD, STEP, UNDO
from dovetail.service.context import db, send, step
from dovetail.service.handlers import on
from dovetail.testing.simulation.errand import (
    MADE,
    ROUND,
    TAKES_S,
    Sending,
    SimulatedAnswer,
    SimulatedErrand,
    SimulatedNews,
    SimulatedPress,
    SimulatedStock,
    SimulatedWork,
    draw_errand,
    draw_sendings,
)

RATE = Throttle(2, per="20 seconds")
QUIET = Debounce("10 seconds", max_wait="60 seconds")

PATIENT = Retry(deaths=1_000)
"""A world kills the process as it likes: to be given up for that is no breach."""

MOST_PASSES = 100
"""More calls of one errand's handler than it has suspensions, tries and crashes in any world."""

_here: ContextVar[Workshop] = ContextVar("workshop")


class Life(Protocol):
    """What the workshop needs of the process that lives now."""

    def is_recorded(self, delivery_id: int, name: str, key: str = "", kind: int = STEP) -> bool:
        """Return whether an entry of a run's journal is committed."""
        ...

    def is_waiting(self, delivery_id: int) -> bool:
        """Return whether a run is committed to wait for an event."""
        ...

    async def cancel(self, delivery_id: int) -> str:
        """Ask the app to stop a run."""
        ...


@dataclass(slots=True)
class Story:
    """
    What one errand was seen to do; moments are microseconds.

    Attributes:
        done: (moment, step) of each beginning of a step.
        undone: (moment, step) of each beginning of an undo.
        reached: When the run first came to its sleep and to its wait.
        woken: When it first was beyond its sleep.
        outcomes: (moment, outcome) of its wait, one for each pass that came so far.
        answered: When the answer was delivered to somebody else, so that it had been committed.
        listened: Whether the run waited already when the answer was given.
        passes: How often the handler was called.
        asked: When the delayed question arrived.
        cancelled: (moment, answer) of each request to stop.
    """

    errand: SimulatedErrand
    done: list[tuple[int, str]] = field(default_factory=list)
    undone: list[tuple[int, str]] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)
    woken: int | None = None
    outcomes: list[tuple[int, str]] = field(default_factory=list)
    asked: int | None = None
    answered: int | None = None
    listened: bool = False
    passes: int = 0
    cancelled: list[tuple[int, str]] = field(default_factory=list)


class Workshop:
    """
    The handlers.

    Args:
        clock: Time.
        life: Returns the process that lives now.
        tell: Adds to the trace.
    """

    def __init__(self, clock: Clock, life: Callable[[], Life], tell: Callable[[str], None]) -> None:
        self.errands: dict[str, Story] = {}
        self.confirmed: set[str] = set()
        self.repeated: list[tuple[str, str]] = []
        self.told: list[int] = []
        self.counted: dict[str, list[tuple[int, int, int]]] = {}
        self.overlaps: list[str] = []
        self._inside: Counter[str] = Counter()
        self._runs: dict[str, int] = {}
        self._failed: set[tuple[str, str]] = set()
        self._clock = clock
        self._life = life
        self._tell = tell

    def open(self) -> None:
        """Be the workshop of this context, in which undo functions find it."""
        _here.set(self)

    def draw(self, seed: int) -> list[Sending]:
        """Return the events that come with an order."""
        found = draw_sendings(seed)
        errand = draw_errand(seed)
        if errand is not None:
            self.errands[errand.number] = Story(errand)
            told = {name: getattr(errand, name) for name in SimulatedErrand.__annotations__}
            found.append(Sending(SimulatedErrand.wanted, told, {"key": errand.number}))
        return found

    def is_meant(self, handler: str, key: str, status: int) -> bool:
        """Return whether a run was to fail or to be cancelled."""
        if not handler.endswith("errand_simulated") or key not in self.errands:
            return False
        errand = self.errands[key].errand
        fails = errand.end in ("fail", "break")
        return (status == DEAD and fails) or (status == CANCELLED and errand.cancel_s >= 0)

    def is_recorded(self, name: str, key: str = "", kind: int = STEP) -> bool:
        """Return whether an entry of the run that goes on is in the database."""
        return self._life().is_recorded(_run_id(), name, key, kind)

    def handlers(self) -> tuple[Callable[..., Any], ...]:
        """Return the handlers."""
        return (*self._of_errands(), *self._of_answers(), *self._of_flow())

    def _of_errands(self) -> tuple[Callable[..., Any], ...]:
        @on(SimulatedErrand.wanted, retry=PATIENT)
        async def errand_simulated(errand: SimulatedErrand) -> None:
            story = self.errands[errand.number]
            self._runs[errand.number] = _run_id()
            story.passes += 1
            if story.passes > MOST_PASSES:
                # It goes round in circles: let time pass, so that the world comes to its end.
                await self._clock.sleep(60)
            for part in range(errand.parts):
                await step("take", self.take, errand.number, part, key=part, undo=give_back)
            await self._announce(errand)
            if errand.sleep_s:
                story.reached.setdefault("sleep", self._now())
                await step.sleep(errand.sleep_s)
                story.woken = story.woken or self._now()
            outcome = await self._wait(errand)
            story.outcomes.append((self._now(), outcome))
            self._tell(f"errand {errand.number}: {outcome}")
            making = (
                step.later("make", self.make, errand.number, n, key=n, undo=self.unmake)
                for n in range(MADE)
            )
            await step.gather(*making)
            if errand.end == "fail":
                raise ValueError(f"errand {errand.number} fails for good")
            if errand.end == "mend":
                await self._mend(errand)
            await db.create(SimulatedWork, what="errand", number=errand.number)

        @on(SimulatedErrand.unwanted, retry=PATIENT)
        async def unwanted_simulated(errand: SimulatedErrand) -> None:
            answer = await self._life().cancel(self._runs[errand.number])
            self._tell(f"errand {errand.number} is not wanted: {answer}")
            self.errands[errand.number].cancelled.append((self._now(), answer))

        return errand_simulated, unwanted_simulated

    async def _announce(self, errand: SimulatedErrand) -> None:
        """Write and send what commits when the run is suspended for the first time."""
        await db.create(SimulatedWork, what="begun", number=errand.number)
        if errand.answer_s >= 0:
            wait = timedelta(seconds=errand.answer_s)
            await send(SimulatedAnswer.asked, key=errand.number, delay=wait, number=errand.number)
        if errand.cancel_s >= 0:
            wait = timedelta(seconds=errand.cancel_s)
            await send(
                SimulatedErrand.unwanted, key=errand.number, delay=wait, number=errand.number
            )

    async def _wait(self, errand: SimulatedErrand) -> str:
        self.errands[errand.number].reached.setdefault("wait", self._now())
        try:
            answer = await step.wait_for(
                SimulatedAnswer.given,
                where={"number": errand.number, "round": ROUND},
                timeout=errand.timeout_s,
                since="start" if errand.looks_back else None,
            )
        except WaitTimeoutError:
            return "time-out"
        return f"answer {answer.round} of {answer.number}"

    async def _mend(self, errand: SimulatedErrand) -> None:
        try:
            await step("spoil", self.spoil, errand.number)
        except ValueError:
            await step.compensate()
            # Another pass has to come here, although what failed would not fail again.
            await step.sleep(20, name="mend")

    def _of_answers(self) -> tuple[Callable[..., Any], ...]:
        @on(SimulatedAnswer.asked, retry=PATIENT)
        async def answer_simulated(asked: SimulatedAnswer) -> None:
            story = self.errands[asked.number]
            story.asked = story.asked or self._now()
            story.listened = self._life().is_waiting(self._runs[asked.number])
            await step("ask", self.ask, asked.number)
            self._flake(asked.number, "answer")
            for one in (ROUND - 1, ROUND):
                await send(SimulatedAnswer.given, key=asked.number, number=asked.number, round=one)
            await db.create(SimulatedWork, what="answer", number=asked.number)

        @on(SimulatedAnswer.given, retry=PATIENT)
        async def heard_simulated(given: SimulatedAnswer) -> None:
            story = self.errands[given.number]
            if given.round == ROUND and story.answered is None:
                story.answered = self._now()

        return answer_simulated, heard_simulated

    def _of_flow(self) -> tuple[Callable[..., Any], ...]:
        @on(SimulatedNews.told, throttle=RATE, priority="high", retry=PATIENT)
        async def news_simulated(news: SimulatedNews) -> None:
            self.told.append(self._now())
            await db.create(SimulatedWork, what="news", number=news.number)

        @on(SimulatedStock.changed, debounce=QUIET, retry=PATIENT)
        async def stock_simulated(event: Event) -> None:
            number, revision = event.payload["number"], event.payload["revision"]
            seen = self.counted.setdefault(number, [])
            seen.append((self._now(), revision, to_micros(event.occurred_at)))
            self._tell(f"stock {number} is counted at {revision}")
            await db.create(SimulatedWork, what="stock", number=f"{number} {revision}")

        @on(SimulatedPress.wanted, concurrency=1, priority="low", retry=PATIENT)
        async def press_simulated(press: SimulatedPress) -> None:
            await self._alone("press", press.number)

        @on(SimulatedPress.wanted, singleton=True, retry=PATIENT)
        async def mill_simulated(press: SimulatedPress) -> None:
            await self._alone("mill", press.number)

        @on(SimulatedPress.wanted, concurrency=Concurrency(1, key=_order_of), retry=PATIENT)
        async def lathe_simulated(press: SimulatedPress) -> None:
            await self._alone("lathe", press.number, press.number.partition(".")[0])

        return news_simulated, stock_simulated, press_simulated, mill_simulated, lathe_simulated

    async def _alone(self, machine: str, number: str, which: str = "") -> None:
        self._inside[machine + which] += 1
        try:
            if self._inside[machine + which] > 1:
                self.overlaps.append(f"{machine} {number}")
            await self._clock.sleep(1.5)
            await db.create(SimulatedWork, what=machine, number=number)
        finally:
            self._inside[machine + which] -= 1

    # The outside world.

    async def take(self, number: str, part: int) -> str:
        """Take something that has to be given back if nothing comes of the errand."""
        return await self._do(number, "take", part)

    async def make(self, number: str, n: int) -> str:
        """Make something beside others."""
        if n == 1 and self.errands[number].errand.end == "break":
            await self._clock.sleep(0.05)
            raise ValueError(f"make {n} of {number} fails for good")
        return await self._do(number, "make", n)

    async def unmake(self, made: str) -> None:
        """Take back what was made; not to be found by its name."""
        await self.take_back(made)

    async def take_back(self, what: str) -> None:
        """Take back one step, given its result."""
        number, name, key = what.split("|")
        self._note_repeat(number, name, key, UNDO)
        self.errands[number].undone.append((self._now(), f"{name} {key}"))
        self._tell(f"errand {number}: undo {name} {key}")
        await self._clock.sleep(0.1)
        self._flake(number, f"undo {name} {key}")

    async def ask(self, number: str) -> str:
        """Look something up for an answer."""
        self._note_repeat(number, "ask", "", STEP)
        return number

    async def spoil(self, number: str) -> str:
        """Fail, but only once."""
        self.errands[number].done.append((self._now(), "spoil"))
        if (number, "spoil") not in self._failed:
            self._failed.add((number, "spoil"))
            raise ValueError(f"errand {number} is spoilt")
        return "whole"

    async def _do(self, number: str, name: str, key: int) -> str:
        self._note_repeat(number, name, str(key), STEP)
        self.errands[number].done.append((self._now(), f"{name} {key}"))
        self._tell(f"errand {number}: {name} {key}")
        await self._clock.sleep(TAKES_S * (1 + key))
        self._flake(number, f"{name} {key}")
        return f"{number}|{name}|{key}"

    def _flake(self, number: str, what: str) -> None:
        if self.errands[number].errand.flaky == what and (number, what) not in self._failed:
            self._failed.add((number, what))
            raise ConnectionError(f"{what} of {number} fails this time")

    def _note_repeat(self, number: str, name: str, key: str, kind: int) -> None:
        if self.is_recorded(name, key, kind):
            self.repeated.append((number, f"{'undo ' if kind == UNDO else ''}{name} {key}"))

    def _now(self) -> int:
        return to_micros(self._clock.now())


async def give_back(taken: str) -> None:
    """Take back what was taken, in the workshop of this world; found by its name."""
    await _here.get().take_back(taken)


def _order_of(event: Event) -> str:
    return str(event.payload["number"]).partition(".")[0]


def _run_id() -> int:
    context = current.get()
    assert isinstance(context, RunContext)
    return context.delivery_id
