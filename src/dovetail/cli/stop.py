"""Ending on a signal: once asked to finish, twice told to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from dovetail.cli.screen import INTERRUPTED

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def until_signalled(
    on_first: Callable[[], None] | None = None,
) -> AsyncIterator[asyncio.Event]:
    """
    Give an event that SIGINT or SIGTERM sets, within the block.

    A second signal ends the process at once; what was committed is safe.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()
        if on_first is not None:
            on_first()

    for number in _SIGNALS:
        loop.add_signal_handler(number, signalled)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
