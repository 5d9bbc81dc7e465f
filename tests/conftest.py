"""What holds for every test."""

import pytest
import structlog


@pytest.fixture(autouse=True)
def _log_of_its_own():
    """Commands that run in the process of the tests set the level of the log."""
    before = structlog.get_config()
    yield
    if structlog.get_config() != before:
        structlog.configure(**before)
