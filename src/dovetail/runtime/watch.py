"""Watching runs from outside: counted, timed and told as spans, whatever the runner does."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from dovetail.core.clock import Clock
from dovetail.core.telemetry import NO_SPAN, Span, Tally, is_tracing, run_span
from dovetail.runtime.delivery import Delivery

DONE_RUN, RETRIED, DEAD_RUN, SUSPENDED, HANDED_BACK = (
    "done",
    "retried",
    "dead",
    "suspended",
    "handed_back",
)


class Serving:
    """
    One serving of some lanes; each lane is a run.

    Within its block, set `kept` to the deliveries that stay open, lane by lane.
    """

    __slots__ = ("_began", "_clock", "_handler", "_latest", "_span", "_tally", "_tries", "kept")

    def __init__(
        self, handler: str, taken: Sequence[list[Delivery]], tally: Tally, clock: Clock
    ) -> None:
        self.kept: list[list[Delivery]] | None = None
        self._handler = handler
        self._latest = [lane[-1] for lane in taken]
        self._tries = [one.attempt for one in self._latest]
        self._tally = tally
        self._clock = clock

    # Written out rather than as a generator: it surrounds every run, and a generator costs more
    # than what is counted.
    def __enter__(self) -> Self:
        for delivery in self._latest:
            delivery.outcome = ""
        self._began = self._clock.monotonic()
        self._tally.begin(self._handler)
        self._span = _span(self._handler, self._latest)
        self._span.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        latest, tally = self._latest, self._tally
        outcomes = _outcomes(latest, self._tries, self.kept)
        try:
            _tell(self._span, latest, outcomes)
            self._span.__exit__(kind, error, trace)
        finally:
            tally.end(self._handler, self._clock.monotonic() - self._began)
            for delivery, outcome in zip(latest, outcomes, strict=True):
                tenant = tally.tenant(delivery.event.business_id)
                tally.runs[self._handler, outcome, tenant] += 1


class RunWatch:
    """
    Counts runs and makes their spans.

    Args:
        tally: Where they are counted.
        clock: Time.
    """

    def __init__(self, tally: Tally, clock: Clock) -> None:
        self._tally = tally
        self._clock = clock

    def serving(self, handler: str, taken: Sequence[list[Delivery]]) -> Serving:
        """Watch a serving of some lanes; each lane is a run."""
        return Serving(handler, taken, self._tally, self._clock)


def _span(handler: str, latest: Sequence[Delivery]) -> Span:
    if not is_tracing():
        return NO_SPAN
    first = latest[0]
    attributes: dict[str, str | int] = {
        "dovetail.handler": handler,
        "dovetail.event.type": first.event.type,
        "dovetail.tenant": first.event.business_id,
        "dovetail.attempt": first.attempt,
        "dovetail.delivery": first.id,
        "messaging.message.id": first.event.id,
    }
    if len(latest) > 1:
        attributes["messaging.batch.message_count"] = len(latest)
    events = [delivery.event for delivery in latest]
    return run_span(
        handler, [one.id for one in events], [one.caused_by for one in events], attributes
    )


def _outcomes(
    latest: Sequence[Delivery], tries: Sequence[int], kept: Sequence[list[Delivery]] | None
) -> list[str]:
    if kept is None:
        return [HANDED_BACK] * len(latest)
    found: list[str] = []
    for delivery, tried, left in zip(latest, tries, kept, strict=True):
        failed = delivery.attempt > tried
        if left:
            found.append(delivery.outcome or (RETRIED if failed else SUSPENDED))
        else:
            found.append(delivery.outcome or (DEAD_RUN if failed else DONE_RUN))
    return found


def _tell(span: Span, latest: Sequence[Delivery], outcomes: Sequence[str]) -> None:
    if span is NO_SPAN:
        return
    for delivery, outcome in zip(latest, outcomes, strict=True):
        if outcome in (RETRIED, DEAD_RUN):
            last = delivery.history[-1] if delivery.history else {}
            span.note("error.type", str(last.get("code", "error")))
            span.fail(str(last.get("message", "failed")))
    span.note("dovetail.outcome", outcomes[0] if len(set(outcomes)) == 1 else "mixed")
