"""The log of the simulated process, kept to be searched for secrets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import structlog

from dovetail.core.log import configure_logging


@contextlib.contextmanager
def captured_log() -> Iterator[list[str]]:
    """Log as the product does, into a list."""
    before = structlog.get_config()
    lines: list[str] = []

    class Writer:
        def msg(self, message: str) -> None:
            lines.append(message)

        log = debug = info = warning = error = critical = exception = msg

    configure_logging("info", json_lines=True)
    structlog.configure(logger_factory=lambda *_: Writer())
    try:
        yield lines
    finally:
        structlog.configure(**before)
