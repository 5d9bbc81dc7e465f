"""
What a process tells of itself: plain counters, and spans where somebody collects them.

Counters are numbers in memory, read when `/metrics` is asked for. Spans go through the API of
OpenTelemetry and cost one comparison where no SDK is configured::

    event (its trace, derived from its id) -> run -> step -> HTTP call

The trace of an event is computed from its id, so that runs in other processes, and tries after a
restart, are in the same trace without anything being stored.
"""

from __future__ import annotations

import hashlib
import os
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from contextvars import Context
from types import TracebackType
from typing import Any, Protocol, Self

from dovetail.core.log import redact_text

RUN_SECONDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0)
COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5)
COMMIT_WORKS = (1.0, 2.0, 5.0, 10.0, 50.0, 200.0, 1000.0)


class Buckets:
    """How many values were up to each bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Tally:
    """
    The counters of one process.

    Args:
        by_tenant: Count tenants apart; their number is then the number of series.
    """

    def __init__(self, *, by_tenant: bool = False) -> None:
        self.by_tenant = by_tenant
        self.events: Counter[tuple[str, str]] = Counter()
        """(type, tenant) -> appended to the log."""
        self.runs: Counter[tuple[str, str, str]] = Counter()
        """(handler, outcome, tenant) -> runs that ended so."""
        self.run_seconds: dict[str, Buckets] = {}
        self.running: Counter[str] = Counter()
        """Handler -> runs that go on now."""
        self.calls: Counter[tuple[str, str]] = Counter()
        """(platform, status) -> API calls; ``none`` is a call without an answer."""
        self.webhooks: Counter[tuple[str, str]] = Counter()
        """(platform, status) -> webhook requests."""

    def tenant(self, business_id: str) -> str:
        """Return the tenant as a label: empty unless tenants are counted apart."""
        return business_id if self.by_tenant else ""

    def begin(self, handler: str) -> None:
        """Count a run that begins."""
        self.running[handler] += 1

    def end(self, handler: str, seconds: float) -> None:
        """Count a run that is over."""
        self.running[handler] -= 1
        taken = self.run_seconds.get(handler)
        if taken is None:
            taken = self.run_seconds[handler] = Buckets(RUN_SECONDS)
        taken.add(seconds)

    def call(self, platform: str, status: int) -> None:
        """Count an API call; status 0 is a call whose answer was lost."""
        self.calls[platform, str(status) if status else "none"] += 1


class Span(Protocol):
    """A stretch of work that is told, or not."""

    def __enter__(self) -> Self:
        """Begin it; what is begun within is its part."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it; an error that passes through makes it a failed one."""
        ...

    def note(self, name: str, value: str | int | float | bool) -> None:
        """Add a fact."""
        ...

    def fail(self, reason: str) -> None:
        """Say that it failed; secrets in the reason are redacted."""
        ...


class _NoSpan:
    """Stands for every span where nobody collects them."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, name: str, value: str | int | float | bool) -> None:
        pass

    def fail(self, reason: str) -> None:
        pass


class _OtelSpan:
    """A span of OpenTelemetry, current within its block; other spans may be led to it."""

    __slots__ = ("_block", "_others", "_span")

    def __init__(self, block: Any, others: Sequence[Any] = ()) -> None:
        self._block = block
        self._others = others
        self._span: Any = None

    def __enter__(self) -> Self:
        self._span = self._block.__enter__()
        for other in self._others:
            other.add_link(self._span.get_span_context())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.note("error.type", type(error).__name__)
            self.fail(str(error) or type(error).__name__)
        self._block.__exit__(kind, error, trace)

    def note(self, name: str, value: str | int | float | bool) -> None:
        self._span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - see begin_tracing

        self._span.set_status(StatusCode.ERROR, redact_text(reason))


NO_SPAN: Span = _NoSpan()
"""What `span` and `run_span` return where nobody collects spans."""
_tracer: Any = None


def begin_tracing() -> bool:
    """
    Tell spans from now on if an OpenTelemetry SDK is configured; return whether one is.

    The API is only imported when something else has (the SDK does), or the environment names a
    provider: it costs more of the start-up than all the rest of this module.
    """
    global _tracer  # noqa: PLW0603 - OpenTelemetry's provider is one per process, too
    _tracer = None
    if "opentelemetry.trace" not in sys.modules and not os.environ.get(
        "OTEL_PYTHON_TRACER_PROVIDER"
    ):
        return False
    from opentelemetry import trace  # noqa: PLC0415

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return False
    _tracer = provider.get_tracer("dovetail")
    return True


def is_tracing() -> bool:
    """Return whether spans are told to anybody, so that their facts are worth gathering."""
    return _tracer is not None


def span(name: str, kind: str = "internal", /, **attributes: str | int | float | bool) -> Span:
    """
    Return a span within the current one.

    Args:
        name: What is done; of few different values.
        kind: ``internal`` or ``client``.
        attributes: Facts; a double underscore in a name stands for a dot.
    """
    if _tracer is None:
        return NO_SPAN
    return _start(name, kind, attributes)


def run_span(
    handler: str,
    event_ids: Sequence[str],
    caused_by: Sequence[str | None],
    attributes: Mapping[str, str | int],
) -> Span:
    """
    Return the span of a run: in the trace of its event, linked with the event that caused that.

    A batch of several events gets a trace of its own, linked with theirs.
    """
    if _tracer is None:
        return NO_SPAN
    from opentelemetry import trace  # noqa: PLC0415 - see begin_tracing

    context = None
    linked = [one for one in caused_by if one]
    if len(event_ids) == 1:
        parent = trace.NonRecordingSpan(_remote(event_ids[0]))
        context = trace.set_span_in_context(parent)
    else:
        linked = [*event_ids, *linked]
    links = [trace.Link(_remote(one)) for one in linked[:_MOST_LINKS]]
    return _start(f"run {handler}", "consumer", attributes, context=context, links=links)


def gathered_span(
    name: str, contexts: Sequence[Context], /, **attributes: str | int | float | bool
) -> Span:
    """
    Return the span of what is done once for several others, in a trace of its own.

    Args:
        name: What is done; of few different values.
        contexts: Where the others are; the current span of each and this one are linked.
        attributes: Facts; a double underscore in a name stands for a dot.
    """
    if _tracer is None:
        return NO_SPAN
    from opentelemetry import trace  # noqa: PLC0415 - see begin_tracing

    others = [one.run(trace.get_current_span) for one in contexts]
    known = [one.get_span_context() for one in others if one.get_span_context().is_valid]
    links = [trace.Link(one) for one in known[:_MOST_LINKS]]
    root = trace.set_span_in_context(trace.INVALID_SPAN)
    return _start(name, "internal", attributes, context=root, links=links, leading_here=others)


_MOST_LINKS = 64


def trace_id(event_id: str) -> str:
    """Return the id of an event's trace, as tracing tools show it: 32 hexadecimal digits."""
    return f"{_ids(event_id)[0]:032x}"


def _ids(event_id: str) -> tuple[int, int]:
    # Hashed, because samplers decide by the low bits, which in a UUID are not all random.
    digest = hashlib.blake2b(event_id.encode(errors="surrogatepass"), digest_size=24).digest()
    return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:], "big") or 1


def _remote(event_id: str) -> Any:
    from opentelemetry import trace  # noqa: PLC0415 - see begin_tracing

    trace_number, span_number = _ids(event_id)
    return trace.SpanContext(
        trace_number, span_number, is_remote=True, trace_flags=trace.TraceFlags(0x01)
    )


def _start(
    name: str,
    kind: str,
    attributes: Mapping[str, Any],
    *,
    context: Any = None,
    links: Sequence[Any] = (),
    leading_here: Sequence[Any] = (),
) -> Span:
    from opentelemetry.trace import SpanKind  # noqa: PLC0415 - see begin_tracing

    block = _tracer.start_as_current_span(
        name,
        context=context,
        kind=SpanKind[kind.upper()],
        attributes={key.replace("__", "."): value for key, value in attributes.items()},
        links=links,
        record_exception=False,  # its text and its traceback may hold a secret
        set_status_on_exception=False,
    )
    return _OtelSpan(block, leading_here)
