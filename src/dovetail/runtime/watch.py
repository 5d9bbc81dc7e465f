"""Watching runs from outside: counted, timed and told as spans, whatever the runner does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dovetail.core.clock import Clock
from dovetail.core.telemetry import Span, Tally, run_span
from dovetail.runtime.delivery import Delivery

DONE_RUN, RETRIED, DEAD_RUN, SUSPENDED, HANDED_BACK = (
    "done",
    "retried",
    "dead",
    "suspended",
    "handed_back",
)


class Serving:
    """One serving: set `kept` to the deliveries that stay open, lane by lane."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: list[list[Delivery]] | None = None


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

    @contextmanager
    def serving(self, handler: str, taken: Sequence[list[Delivery]]) -> Iterator[Serving]:
        """Watch a serving of some lanes; each lane is a run."""
        latest = [lane[-1] for lane in taken]
        tries = [delivery.attempt for delivery in latest]
        for delivery in latest:
            delivery.outcome = ""
        serving = Serving()
        began = self._clock.monotonic()
        self._tally.begin(handler)
        try:
            with _span(handler, latest) as span:
                try:
                    yield serving
                finally:
                    outcomes = _outcomes(latest, tries, serving.kept)
                    _tell(span, latest, outcomes)
        finally:
            self._tally.end(handler, self._clock.monotonic() - began)
            for delivery, outcome in zip(latest, outcomes, strict=True):
                tenant = self._tally.tenant(delivery.event.business_id)
                self._tally.runs[handler, outcome, tenant] += 1


def _span(handler: str, latest: Sequence[Delivery]) -> Span:
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
    for delivery, outcome in zip(latest, outcomes, strict=True):
        if outcome in (RETRIED, DEAD_RUN):
            last = delivery.history[-1] if delivery.history else {}
            span.note("error.type", str(last.get("code", "error")))
            span.fail(str(last.get("message", "failed")))
    span.note("dovetail.outcome", outcomes[0] if len(set(outcomes)) == 1 else "mixed")
