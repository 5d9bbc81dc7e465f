"""``runs``, ``top`` and ``doctor`` beside a running process, and without one."""

import json
import re
import signal
import urllib.request

import pytest

pytestmark = pytest.mark.slow  # each starts a process and several commands

PROGRAM = """
import asyncio
from dovetail import Entity, Event, Retry, db, every, on, send, step
from dovetail.errors import PermanentError, TransientError

class Began(Entity):
    pass

@every("1 second")
async def begin() -> None:
    if await db.count(Began) == 0:
        await db.create(Began)
        for key in ("good", "bad", "again", "slow"):
            await send("thing.happened", {"token": "s3cr3t"}, key=key)

async def look(key: str) -> str:
    return key

@on("thing.happened", retry=Retry(attempts=50, base_s=60.0))
async def handle(event: Event) -> None:
    await step("look", look, event.key)
    if event.key == "bad":
        raise PermanentError("no address, token=pat-na1-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0")
    if event.key == "again":
        raise TransientError("the warehouse did not answer", operation="ship")
    if event.key == "slow":
        await asyncio.sleep(300)
"""


@pytest.fixture
def worker(dovetail, wait_until):
    (dovetail.folder / "program.py").write_text(PROGRAM)
    process, told = dovetail.start(
        "run", "program.py", "--port", 0, env={"DOVETAIL_SHUTDOWN_S": "0.5"}
    )
    process.told = told

    def settled():
        runs = dovetail.json("runs", "list")["runs"]
        return len([one for one in runs if one["steps"]]) == 4 and any(
            one["status"] == "dead" for one in runs
        )

    wait_until(settled)
    return process


def handler(told, name="handle"):
    return next(one for one in told["handlers"] if one["name"] == name)


def test_top_tells_what_runs_waits_and_failed_and_asks_the_process(dovetail, worker):
    told = dovetail.json("top", "--once")

    row = handler(told)
    assert (row["open"], row["running"], row["retrying"], row["dead"]) == (2, 1, 1, 1)
    assert row["done_per_minute"] == 1
    assert row["lag_s"] > 0
    assert told["events_per_minute"] >= 5
    assert told["process"]["id"] == worker.pid
    assert told["process"]["answers"]
    assert told["process"]["address"].endswith(f":{worker.told['port']}")
    by_status = {one["status"]: one["message"] for one in told["errors"]}
    assert by_status["retrying"] == "the warehouse did not answer"
    assert "[redacted]" in by_status["dead"]
    assert "pat-na1" not in json.dumps(told)


def test_a_frame_for_people_fits_a_terminal(dovetail, worker):
    shown = dovetail.run("top", "--once").stdout

    assert re.search(r"handle +2 +1 +1 +1 +1 ", shown)
    assert f"process {worker.pid} at http://127.0.0.1:" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 100


def test_top_without_a_process_says_so(dovetail, worker):
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=20)

    told = dovetail.json("top", "--once")

    assert told["process"] == {"id": None, "address": None, "answers": False, "faults": []}
    assert handler(told)["running"] == 0
    assert "no process runs on it" in dovetail.run("top", "--once").stdout


def test_runs_are_listed_by_status_and_told_as_a_story(dovetail, worker):
    (dead,) = dovetail.json("runs", "list", "--status", "dead")["runs"]
    assert (dead["event_key"], dead["steps"], dead["attempt"]) == ("bad", 1, 1)
    assert dead["started_at"].endswith("+00:00")

    view = dovetail.json("runs", "show", dead["id"])
    assert [one["what"] for one in view["timeline"]] == ["event", "step", "failed", "given up"]
    assert [one["name"] for one in view["journal"] if one["kind"] == "step"] == ["look"]
    assert "pat-na1" not in json.dumps(view)
    shown = dovetail.run("runs", "show", dead["id"]).stdout
    assert "given up" in shown
    assert "pat-na1" not in shown


def test_pages_of_runs_join_up(dovetail, worker):
    every = [one["id"] for one in dovetail.json("runs", "list", "--handler", "handle")["runs"]]
    first = dovetail.json("runs", "list", "--handler", "handle", "--limit", 2)["runs"]
    rest = dovetail.json("runs", "list", "--handler", "handle", "--before", first[-1]["id"])["runs"]

    assert [one["id"] for one in first + rest] == every == sorted(every, reverse=True)


def test_a_run_that_is_not_there_and_a_status_that_is_none_are_told(dovetail, worker):
    missing = dovetail.run("runs", "show", 999_999, code=1)
    assert "no run 999999" in missing.stderr
    wrong = dovetail.run("runs", "list", "--status", "sleepy", code=2)
    assert "sleeping" in wrong.stderr


def test_doctor_shows_sizes_and_what_retention_would_remove(dovetail, worker):
    told = dovetail.json("doctor", "--port", 0)

    found = {one["name"]: one["detail"] for one in told["findings"]}
    assert "MiB" in found["size"]
    assert found["retention"] == "Nothing is over for 30 days."
    tables = {one["name"]: one for one in told["size"]["tables"]}
    assert tables["deliveries"]["rows"] >= 5
    assert tables["deliveries"]["size"] >= 4096
    again = dovetail.json("doctor", "--port", 0, env={"DOVETAIL_KEEP_DAYS": "0.00000001"})
    detail = {one["name"]: one["detail"] for one in again["findings"]}["retention"]
    assert re.match(r"[1-9]\d* events", detail)


def test_a_real_scrape_is_what_prometheus_reads(worker):
    url = f"http://127.0.0.1:{worker.told['port']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        page = answer.read().decode()

    assert 'dovetail_running_runs{handler="handle"} 1.0' in page
    assert 'dovetail_runs_total{handler="handle",outcome="dead"} 1.0' in page
    assert "pat-na1" not in page
