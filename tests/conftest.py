"""What holds for every test."""

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
