"""Sends jobs from a process of its own, as a web application beside ``dovetail run`` would."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from dovetail import App, db, send
from dovetail.core.settings import Settings
from dovetail.errors import StoreError


@asynccontextmanager
async def opened(program: Path, database: Path) -> AsyncIterator[App]:
    """Open the database with the program's handlers known, without running any."""
    async with App.load(program, settings=Settings(database=database)) as app:
        yield app


async def prepare(program: Path, database: Path) -> None:
    """Make the record that the runs count in."""
    async with opened(program, database) as app, app.session():
        await db.create(sys.modules[program.stem].Tally, id="tally")


async def send_jobs(program: Path, database: Path, accepted: Path, seed: int) -> None:
    """Send for ever; what was accepted is written down once its session has ended."""
    rng = random.Random(seed)
    async with opened(program, database) as app:
        while True:
            number, poisoned = rng.randrange(10**12), rng.random() < 0.1
            facts = {"number": number, "poisoned": poisoned}
            try:
                async with app.session():
                    # The same job twice: its idempotency key is asked for by two runs at a time.
                    sent = [
                        await send("job.asked", key=f"{number}-{one}", **facts) for one in range(2)
                    ]
            except StoreError:
                await asyncio.sleep(0.5)
                continue
            write_down(accepted, [{"id": id, "number": number} for id in sent])
            await asyncio.sleep(rng.random() * 0.1)


def write_down(file: Path, facts: list[dict[str, object]]) -> None:
    """Append facts to a file of lines, durably."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, b"".join(json.dumps(fact).encode() + b"\n" for fact in facts))
        os.fsync(handle)
    finally:
        os.close(handle)


def read_lines(file: Path) -> list[dict[str, object]]:
    """Return the facts of a file; a last line that a kill cut short was never promised."""
    if not file.exists():
        return []
    whole, _, _ = file.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]
