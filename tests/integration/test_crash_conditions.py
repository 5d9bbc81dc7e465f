"""A real worker under a full disk, a lock, a read-only file and a clock that jumps."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0

PROGRAM = """
from dovetail import Entity, Event, db, every, on


class Seen(Entity):
    about: str = ""


class Tick(Entity):
    about: str = ""


@on("platform.changed")
async def changed(event: Event) -> None:
    await db.create(Seen, about=str(event.payload["detail"]["eventId"]))


@every("1 second")
async def tick(event: Event) -> None:
    await db.create(Tick, about=event.id)
"""


class Worker:
    """A running ``dovetail run``, its database, its log, and a platform's side of its door."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "program.py"
        self.program.write_text(PROGRAM)
        self.database = folder / "app.db"
        self.log = folder / "worker.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.door = ("", "", "")
        self.accepted: list[int] = []
        self._numbers = itertools.count(1)

    def start(self, *command: str) -> dict:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], stdout=subprocess.PIPE, stderr=log, cwd=ROOT,
                env={**os.environ, "DOVETAIL_BUSY_S": "1", "TORTURE_FOLDER": str(self.folder)},
            )  # fmt: skip
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        return json.loads(line)

    def connect(self, platform: dict) -> None:
        """Connect an account whose webhooks are sent here."""
        secrets = f"{platform['credentials']['access_token']}\n{platform['webhook_secret']}\n"
        subprocess.run(
            [
                sys.executable, "-m", "dovetail", "connect", "hubspot", "--token-stdin",
                "--webhook-secret-stdin", "--base-url", platform["base_url"],
                "--database", str(self.database),
            ],
            input=secrets.encode(), stdout=subprocess.PIPE, check=True, timeout=60,
        )  # fmt: skip

    def run(self, secret: str) -> None:
        told = self.start(
            "-m", "dovetail", "run", str(self.program), "--json",
            "--database", str(self.database), "--port", "0",
        )  # fmt: skip
        (url,) = told["webhooks"].values()
        netloc, _, path = url.removeprefix("http://").partition("/")
        self.door = (netloc, f"/{path}", secret)

    def stop(self) -> int | None:
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        return self.process.returncode

    def send(self, number: int) -> int:
        """Send a webhook; return the status, having noted what a 200 promises."""
        netloc, path, secret = self.door
        event = {
            "eventId": number,
            "subscriptionId": 1,
            "occurredAt": 1_770_000_000_000 + number,
            "subscriptionType": "contact.creation",
            "objectId": number,
        }
        body = json.dumps([event]).encode()
        moment = str(int(time.time() * 1000))
        signed = f"POSThttp://{netloc}{path}".encode() + body + moment.encode()
        digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
        headers = {
            "content-type": "application/json",
            "x-hubspot-signature-v3": base64.b64encode(digest).decode(),
            "x-hubspot-request-timestamp": moment,
        }
        connection = http.client.HTTPConnection(netloc, timeout=10)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            if answer.status == 503:
                assert answer.headers["retry-after"] == "5"
        finally:
            connection.close()
        if answer.status == 200:
            self.accepted.append(number)
        return answer.status

    def send_until(self, status: int) -> list[int]:
        """Send webhooks until one is answered so; return those that must be sent again."""
        left: list[int] = []
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            number = next(self._numbers)
            found = self.send(number)
            assert found in (200, 503), found
            if found == 503:
                left.append(number)
            if found == status:
                return left
        raise AssertionError(f"no {status} within {PATIENCE_S} s")

    def stored(self, entity: str) -> Counter:
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as database:
            rows = database.execute("SELECT data FROM records WHERE entity = ?", (entity,))
            return Counter(json.loads(data)["about"] for (data,) in rows)

    def refusals(self) -> int:
        return self.log.read_text().count("refused: ")

    def check_goes_on(self, left: list[int]) -> None:
        """What was put off is taken now; each webhook has its effect once; ticks go on."""
        assert self.process.poll() is None, self.log.read_text()
        ticks = len(self.stored("tick"))
        for number in left:
            eventually(lambda number=number: self.send(number) == 200)
        wanted = Counter({str(number): 1 for number in self.accepted})
        eventually(lambda: self.stored("seen") == wanted)
        eventually(lambda: len(self.stored("tick")) > ticks)
        assert set(self.stored("tick").values()) == {1}
        assert "Traceback" not in self.log.read_text()


def eventually(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """One worker for all conditions: it has to live through each of them, in any order."""
    worker = Worker(tmp_path_factory.mktemp("conditions"))
    sandbox = subprocess.Popen(
        [
            sys.executable, "-m", "dovetail", "sandbox", "hubspot", "--json",
            "--port", "0", "--records", "0",
        ],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        (platform,) = json.loads(sandbox.stdout.readline())["platforms"]
        worker.connect(platform)
        worker.run(platform["webhook_secret"])
        yield worker
        assert worker.stop() == 0
    finally:
        worker.stop()
        sandbox.terminate()
        sandbox.communicate(timeout=20)


def write_ahead_log(worker):
    return worker.database.with_name("app.db-wal")


def test_a_full_disk_lets_webhooks_be_sent_again_and_the_worker_go_on(worker):
    unlimited = resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE)
    quota = max(write_ahead_log(worker).stat().st_size, 256 * 1024)
    told = worker.refusals()
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (quota, unlimited[1]))
    try:
        left = worker.send_until(503)
        eventually(lambda: worker.refusals() > told)
    finally:
        resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, unlimited)

    worker.check_goes_on(left)


def test_a_lock_that_lasts_lets_webhooks_be_sent_again_and_the_worker_go_on(worker):
    told = worker.refusals()
    with contextlib.closing(sqlite3.connect(worker.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        left = worker.send_until(503)
        eventually(lambda: worker.refusals() > told)
        other.execute("ROLLBACK")

    worker.check_goes_on(left)


def test_a_read_only_file_lets_webhooks_be_sent_again_and_the_worker_go_on(worker):
    files = [worker.database, write_ahead_log(worker)]
    told = worker.refusals()
    # Permissions are asked for when a file is opened, and not of root; this attribute always is.
    if shutil.which("chattr") is None or chattr("+i", files) != 0:
        pytest.skip("this user or file system cannot make files immutable (chattr +i)")
    try:
        left = worker.send_until(503)
        eventually(lambda: worker.refusals() > told)
    finally:
        chattr("-i", files)

    worker.check_goes_on(left)


def chattr(change, files):
    command = ["chattr", change, *map(str, files)]
    return subprocess.run(command, capture_output=True, check=False).returncode


SHIFTED = (
    "import sys; from pathlib import Path; from torture.clock import run_shifted;"
    "sys.exit(run_shifted(Path(sys.argv[1]), Path(sys.argv[2]), 0, Path(sys.argv[3])))"
)


def test_a_clock_that_jumps_makes_no_tick_come_twice_and_stops_none(tmp_path):
    worker = Worker(tmp_path)
    clock = tmp_path / "clock"
    try:
        worker.start("-c", SHIFTED, str(worker.program), str(worker.database), str(clock))
        # Hours forward, back to now, and minutes to where the first ticks were not yet.
        for shift in ("7200", "0", "-600", "0"):
            ticks = len(worker.stored("tick"))
            clock.with_suffix(".new").write_text(shift)
            clock.with_suffix(".new").replace(clock)
            eventually(lambda ticks=ticks: len(worker.stored("tick")) >= ticks + 2)
        assert worker.stop() == 0
    finally:
        worker.stop()

    due = Counter(json.loads(payload)["due_at"] for payload in ticks_sent(worker))
    assert set(due.values()) == {1}
    assert worker.stored("tick").total() == len(due)
    assert set(worker.stored("tick").values()) == {1}
    assert "clock_set_back" in worker.log.read_text()


def ticks_sent(worker):
    with contextlib.closing(sqlite3.connect(worker.database)) as database:
        rows = database.execute("SELECT payload FROM events WHERE source LIKE 'schedule:%'")
        return [payload for (payload,) in rows]
