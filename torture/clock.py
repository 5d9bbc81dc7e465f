"""
A worker whose wall clock can be set: ``dovetail run`` with another clock behind the same port.

The command line offers no way to another clock, and the machine's own clock belongs to everybody
on it. So this starts the same app as ``dovetail run --json`` does, with a clock that adds what a
file says to the machine's.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dovetail.app.app import App
from dovetail.cli.stop import until_signalled
from dovetail.connector_sdk.http import AiohttpTransport
from dovetail.core.clock import SystemClock
from dovetail.core.ids import SystemIds
from dovetail.core.log import configure_logging
from dovetail.core.ports import Ports
from dovetail.core.settings import Settings


class ShiftedClock(SystemClock):
    """The machine's clock plus the seconds in a file, which may change at any moment."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        """Return the shifted moment."""
        return datetime.now(UTC) + timedelta(seconds=read_shift(self._file))


def read_shift(file: Path) -> float:
    """Return the seconds that the file says; none when it is not there."""
    try:
        return float(file.read_text())
    except FileNotFoundError:
        return 0.0


def write_shift(file: Path, seconds: float) -> None:
    """Set the clock of everybody who reads the file, in one moment."""
    fresh = file.with_suffix(".new")
    fresh.write_text(str(seconds))
    fresh.replace(file)


def run_shifted(program: Path, database: Path, port: int, file: Path) -> int:
    """Run the program until SIGTERM with the clock of *file*; return the exit code."""
    configure_logging("info", json_lines=True)
    settings = Settings.from_env().but(database=database, port=port)
    return asyncio.run(_run(program, settings, ShiftedClock(file)))


async def _run(program: Path, settings: Settings, clock: ShiftedClock) -> int:
    ports = replace(Ports.system(AiohttpTransport()), clock=clock, ids=SystemIds(clock))
    world = App.load(program, settings=settings, ports=ports)
    async with until_signalled() as stop:
        await world.start()
        print(json.dumps({"status": "running", "port": world.port}), flush=True)
        try:
            await stop.wait()
        finally:
            await world.stop()
    return 0
