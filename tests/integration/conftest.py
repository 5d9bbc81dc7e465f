"""The command line as processes, on databases and ports of their own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("DOVETAIL_")}


class Processes:
    """Starts ``dovetail`` commands, and ends those that are still there when the test is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "app.db"
        self._running: list[subprocess.Popen[str]] = []

    def run(self, *arguments, code=0, stdin=None, env=None, timeout=60):
        """Run to the end; return its result, whose exit code must be *code*."""
        done = subprocess.run(
            [sys.executable, "-m", "dovetail", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**CLEAN, **(env or {})},
            input=stdin if stdin is not None else "",
            timeout=timeout,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments, **options):
        """As `run` with ``--json``; return the one document it writes."""
        lines = self.run(*arguments, "--json", **options).stdout.splitlines()
        assert len(lines) == 1, lines
        return json.loads(lines[0])

    def start(self, *arguments, env=None):
        """Start in the background; return the process and its first line, read as JSON."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dovetail", *map(str, arguments), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**CLEAN, **(env or {})},
        )
        self._running.append(process)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return process, json.loads(line)

    def sandbox(self, *platforms, records=20):
        """Start a sandbox; return the address of its index and platform -> base URL."""
        port = free_ports(len(platforms) + 1)
        _, told = self.start("sandbox", *platforms, "--port", port, "--records", records)
        urls = {one["platform"]: one["base_url"] for one in told["platforms"]}
        return f"http://127.0.0.1:{port}", urls

    def stop(self):
        """End what is still running; each must end by itself when asked to."""
        for process in self._running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._running:
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@pytest.fixture
def dovetail(tmp_path):
    """Processes of one test."""
    processes = Processes(tmp_path)
    yield processes
    processes.stop()


@pytest.fixture
def crm_file():
    """The declaration that the examples sync with."""
    return ROOT / "examples" / "crm_sync.py"


def free_ports(count=1):
    """Return the first of *count* neighbouring free ports."""
    while True:
        with ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                for offset in range(1, count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            except (OSError, OverflowError):
                continue
        return port


@pytest.fixture
def free_port():
    """Return a function that finds free ports."""
    return free_ports


@pytest.fixture
def wait_until():
    """Return a function that waits for a condition of another process."""

    def wait(condition, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.05)
        raise AssertionError(f"did not happen within {seconds} s")

    return wait
