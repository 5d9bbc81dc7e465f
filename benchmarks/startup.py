"""
How long a user waits: for the import, for the command line, and for an app that was killed.

Each is a process of its own, with its byte code cached as a user's is after the first time. The
killed app gets SIGKILL while 100,000 events are open; the time runs from the start of the next
process to the first line of its first handler.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.rounds import alternate
from benchmarks.row import ROUNDS, Row
from dovetail import Event, on
from dovetail.app.app import App
from dovetail.app.load import program_of
from dovetail.app.memory import settle_memory
from dovetail.core.settings import Settings
from dovetail.runtime.log import EventDraft
from dovetail.testing.app import make_module

OPEN = 100_000
FACE = "from dovetail import Service, db, every, on, send, step"
CALLS = {
    "nothing": ["-c", "pass"],
    "import dovetail": ["-c", "import dovetail"],
    FACE: ["-c", FACE],
    "dovetail --help": ["-m", "dovetail", "--help"],
}
LEAVE = """
import asyncio, os, signal, sys
from pathlib import Path
from benchmarks.startup import leave_open
asyncio.run(leave_open(Path(sys.argv[1]), int(sys.argv[2])))
os.kill(os.getpid(), signal.SIGKILL)
"""
RECOVER = """
import asyncio, sys
from pathlib import Path
from benchmarks.startup import recover
asyncio.run(recover(Path(sys.argv[1]), sys.argv[2]))
"""


def measure(folder: Path, items: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as cache:
        # A cache of its own, written by a first call that is not measured.
        env = os.environ | {"PYTHONPYCACHEPREFIX": cache}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for call in CALLS.values():
            seconds(call, env)
        found = alternate(
            {name: lambda _, call=call: seconds(call, env) for name, call in CALLS.items()}
        )
    middle = {name: sorted(times)[ROUNDS // 2] for name, times in found.items()}
    goals = {"import dovetail": 0.3, "dovetail --help": 0.5}
    rows = [
        Row(
            name,
            taken,
            "s",
            "python -c pass",
            middle["nothing"],
            at_most=goals.get(name),
            note="a whole process, byte code cached",
        )
        for name, taken in middle.items()
        if name != "nothing"
    ]
    return [*rows, *recovery(folder, min(OPEN, 10 * items))]


def seconds(call: list[str], env: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *call], env=env, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def recovery(folder: Path, count: int) -> list[Row]:
    killed, empty = folder / "killed", folder / "empty"
    for path, left in ((killed, count), (empty, 1)):
        path.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", LEAVE, str(path / "app.db"), str(left)], check=False
        )
        if done.returncode != -signal.SIGKILL:
            raise AssertionError(f"the app to be killed ended by itself: {done.returncode}")
    found = alternate(
        {
            "killed": lambda n: recovered(killed, folder / f"killed{n}", "first"),
            "empty": lambda n: recovered(empty, folder / f"empty{n}", "first"),
        }
    )
    first = {name: sorted(times)[ROUNDS // 2] for name, times in found.items()}
    whole = recovered(killed, folder / "whole", "last")
    return [
        Row(
            f"SIGKILL with {count:,} open: to the first handler",
            first["killed"],
            "s",
            "the same with one open",
            first["empty"],
            note=f"all of them handled after {whole:.1f} s ({count / whole:,.0f}/s), in one round",
        )
    ]


def recovered(left: Path, copy: Path, until: str) -> float:
    """Start an app on a copy of what was left; seconds to its first or last handler."""
    shutil.copytree(left, copy)
    started = time.time()
    command = [sys.executable, "-c", RECOVER, str(copy / "app.db"), until]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    shutil.rmtree(copy)
    return float(said) - started


handled: list[float] = []


@on("thing.happened")
async def handle(event: Event) -> None:
    handled.append(time.time())


async def leave_open(path: Path, count: int) -> None:
    """Send events that somebody listens to, with nothing running that would handle them."""
    app = App(program_of(make_module(handle)), settings=Settings(database=path))
    await app.open()
    for start in range(0, count, 1000):
        drafts = [
            EventDraft(
                type="thing.happened",
                key=str(number),
                payload={"n": number},
                business_id="default",
                source="bench",
            )
            for number in range(start, min(start + 1000, count))
        ]
        await app.store.write(lambda tx, drafts=drafts: app.runtime.log.append(tx, drafts))


async def recover(path: Path, until: str) -> None:
    app = App(program_of(make_module(handle)), settings=Settings(database=path))
    await app.start(serve=False, schedules=False)
    settle_memory()  # as `dovetail run` does
    if until == "first":
        while not handled:  # noqa: ASYNC110 - the handler must cost nothing but its line
            await asyncio.sleep(0.005)
        print(handled[0], flush=True)
        os._exit(0)  # the rest is not asked for
    await app.runtime.wait_idle()
    await app.stop()
    print(handled[-1])
