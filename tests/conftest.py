"""What holds for every test, and what tests of several folders work with."""

import signal

import pytest
import structlog


@pytest.fixture(autouse=True, scope="session")
def _interrupts_reach_children():
    """Whoever runs the tests in the background may have them ignored, which children inherit."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _log_of_its_own():
    """Commands that run in the process of the tests set the level of the log."""
    before = structlog.get_config()
    yield
    if structlog.get_config() != before:
        structlog.configure(**before)


@pytest.fixture
def spans(monkeypatch):
    """Collect spans as an SDK does; the provider of OpenTelemetry can only be set once."""
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from dovetail.core import telemetry

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter.get_finished_spans
    telemetry._tracer = None
