"""
The processes: a sandbox, and ``dovetail run`` and a sender that are killed again and again.

What is killed is forked from this process, which has the modules in memory already: two hundred
starts would otherwise spend most of their time importing. It is the same command line, with its
own files, sockets and process id; only the first start of a worker is a fresh interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dovetail.cli.main import run as dovetail
from torture.clock import run_shifted
from torture.sender import prepare, send_jobs

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "torture" / "program.py"
PLATFORMS = ("hubspot", "salesforce")
_START_S = 30.0
_PRELOADED = (
    "alembic.autogenerate",
    "alembic.command",
    "dovetail.cli.dead",
    "dovetail.cli.run",
    "dovetail.connectors.hubspot",
    "dovetail.connectors.salesforce",
    "uvicorn.lifespan.off",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)


def preload() -> None:
    """Import what every child needs."""
    for name in _PRELOADED:
        importlib.import_module(name)


class Forked:
    """A child process that runs a function and writes to a file."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.pid: int | None = None
        """Of the running child; None when it has ended."""
        self.code: int | None = None
        """How the last child ended."""

    def start(self, body: Callable[[], Any]) -> None:
        """Fork; the child never returns from here."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid:
            self.pid = pid
            return
        code = 70
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the whole thing, in order
            handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            code = body() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(BaseException):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self.pid is not None and self._reap(os.WNOHANG) is None

    def signal(self, number: int) -> None:
        """Send a signal, if it is still there."""
        if self.is_alive:
            assert self.pid is not None
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it with SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        if self.pid is not None:
            self._reap(0)

    def stop(self, within_s: float = 20.0) -> int | None:
        """Ask it to end; return its exit code, None when it had to be killed."""
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + within_s
        while self.pid is not None and time.monotonic() < deadline:
            if (code := self._reap(os.WNOHANG)) is not None:
                return code
            time.sleep(0.02)
        self.kill()
        return None

    def _reap(self, flags: int) -> int | None:
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, flags)
        if pid == 0:
            return None
        self.pid = None
        self.code = os.waitstatus_to_exitcode(status)
        return self.code


class Worker(Forked):
    """``dovetail run`` on the tortured program; each start has a log of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder / "worker-0000.log")
        self.folder = folder
        self.port = port
        self.database = folder / "data" / "tortured.db"
        self.clock = folder / "clock"
        self.started = 0

    def run(self, *, shifted: bool = False) -> None:
        """Start it, with a clock that can be set when *shifted*; see `wait_ready`."""
        arguments = [
            "run", str(PROGRAM), "--json",
            "--database", str(self.database), "--port", str(self.port),
        ]  # fmt: skip
        self.started += 1
        self.log = self.folder / f"worker-{self.started:04}.log"
        self.log.touch()
        if shifted:
            self.start(lambda: run_shifted(PROGRAM, self.database, self.port, self.clock))
        else:
            self.start(lambda: dovetail(arguments))

    def wait_ready(self, within_s: float = _START_S) -> None:
        """Wait until it takes webhooks."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                if self.ask("/readyz")["ready"]:
                    return
            except (OSError, ValueError, KeyError):
                pass
            if not self.is_alive:
                break
            time.sleep(0.02)
        raise RuntimeError(f"the worker did not start:\n{tail(self.log)}")

    def ask(self, path: str) -> Any:
        """GET a page of it."""
        return call(f"http://127.0.0.1:{self.port}{path}")


class Sender(Forked):
    """A process that sends jobs."""

    def __init__(self, folder: Path, database: Path) -> None:
        super().__init__(folder / "sender.log")
        self.database = database
        self.accepted = folder / "accepted.jsonl"

    def prepare(self) -> None:
        """Make what the jobs need; returns when it is there."""
        self.start(lambda: asyncio.run(prepare(PROGRAM, self.database)))
        while self.is_alive:
            time.sleep(0.01)

    def run(self, seed: int) -> None:
        """Start sending."""
        self.start(lambda: asyncio.run(send_jobs(PROGRAM, self.database, self.accepted, seed)))


@contextmanager
def sandbox(
    folder: Path, database: Path, records: int, seed: int
) -> Iterator[dict[str, dict[str, Any]]]:
    """Serve the two platforms, connect them, and yield what the sandbox said of each."""
    port = free_ports(3)
    command = [sys.executable, "-m", "dovetail"]
    with (folder / "sandbox.log").open("w") as log:
        process = subprocess.Popen(
            [
                *command, "sandbox", *PLATFORMS, "--json",
                "--port", str(port), "--records", str(records), "--seed", str(seed),
            ],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"no sandbox:\n{tail(folder / 'sandbox.log')}")
        connect = ["connect", "--sandbox", f"http://127.0.0.1:{port}", "--database", str(database)]
        subprocess.run([*command, *connect], check=True, stdout=subprocess.DEVNULL)
        yield {one["platform"]: one for one in json.loads(line)["platforms"]}
    finally:
        process.terminate()
        process.wait(15)


def command(*arguments: str, log: Path) -> Forked:
    """Start a ``dovetail`` command that may be killed."""
    made = Forked(log)
    made.start(lambda: dovetail(arguments))
    return made


def call(
    url: str, body: bytes | dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> Any:
    """Call a local URL and return its JSON; OSError when nobody answers properly."""
    status, _, answer = post(url, body, headers)
    if status >= 400:
        raise OSError(f"{url} answered {status}: {answer[:500]!r}")
    return json.loads(answer)


def post(
    url: str, body: bytes | dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Call a local URL (GET without a body) and return status, headers and answer."""
    parts = urlsplit(url)
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    connection = http.client.HTTPConnection(parts.netloc, timeout=15)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        sent = {"content-type": "application/json", **(headers or {})}
        connection.request("GET" if data is None else "POST", path, data, sent)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, told, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error
    finally:
        connection.close()


def free_ports(count: int = 1) -> int:
    """Return a port that is free, with the *count* - 1 after it."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                for offset in range(1, count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except (OSError, OverflowError):
                continue
        return port


def tail(file: Path, lines: int = 25) -> str:
    """Return the end of a log."""
    return (
        "\n".join(file.read_text(errors="replace").splitlines()[-lines:]) if file.exists() else ""
    )
