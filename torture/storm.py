"""
The storm: people edit, jobs are sent, dead letters replayed, and SIGKILL comes at any moment.

    kill -> look at what is on the disk -> start again -> …   every so often: wait for quiet, judge
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dovetail.simulators.hubspot.signature import sign_v3
from torture.evidence import Evidence
from torture.people import People, Side
from torture.process import (
    PLATFORMS,
    Forked,
    Sender,
    Worker,
    command,
    free_ports,
    post,
    preload,
    sandbox,
)
from torture.process import tail as log_end
from torture.sender import write_down

# A sync that has failed often waits up to five minutes before it is tried again.
_QUIET_S = 400.0


@dataclass
class Report:
    """What happened."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)
    checkpoints: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Violated(Exception):  # noqa: N818 - it is a finding, not a mistake of the finder
    """Something that must never be seen was seen."""

    def __init__(self, violations: list[str]) -> None:
        super().__init__("\n".join(violations))
        self.violations = violations


class Storm:
    """One run of the torture in a folder."""

    def __init__(self, folder: Path, *, seed: int, records: int) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.records = records
        self.report = Report(seed)
        (folder / "data").mkdir(parents=True)
        self.worker = Worker(folder, free_ports())
        self.sender = Sender(folder, self.worker.database)
        self.replayer = Forked(folder / "replay.log")
        self._hook: dict[str, Any] = {}

    def run(self, kills: int, tell: Callable[[int], None]) -> Report:
        """Go through *kills* kills; the report holds the violations."""
        began = time.monotonic()
        preload()
        with ExitStack() as stack:
            platforms = stack.enter_context(
                sandbox(self.folder, self.worker.database, self.records, self.report.seed)
            )
            for process in (self.worker, self.sender, self.replayer):
                stack.callback(process.kill)
            self.sides = [
                Side(number, platforms[name]["base_url"]) for number, name in enumerate(PLATFORMS)
            ]
            self.people = People(self.sides, self.report.seed)
            try:
                self._first_sync(platforms["hubspot"])
                self._kill_often(kills, tell)
            except Violated as found:
                self.report.violations += found.violations
            self._count()
        self.report.seconds = time.monotonic() - began
        return self.report

    def _first_sync(self, hubspot: dict[str, Any]) -> None:
        self.sender.prepare()
        self.worker.run()
        self.worker.wait_ready()
        self._until(lambda: bool(self._webhooks()), "the worker says where webhooks go")
        url = next(url for url in self._webhooks().values() if "/hubspot/" in url)
        self._hook = {"url": url, "secret": hubspot["webhook_secret"]}
        self._hook["app_id"] = hubspot["credentials"].get("app_id", "1")
        self._until(self._is_caught_up, "the first sync ended")
        self.people.meet()
        if not self.people.persons:
            raise Violated(["nobody is on both sides after the first sync"])

    def _webhooks(self) -> dict[str, str]:
        for line in self.worker.log.read_text().splitlines():
            if '"webhooks"' in line:
                found: dict[str, str] = json.loads(line)["webhooks"]
                return found
        return {}

    def _kill_often(self, kills: int, tell: Callable[[int], None]) -> None:
        every = max(min(40, kills // 2), 1)
        self._misbehave(on=True)
        for number in range(1, kills + 1):
            self._round()
            self._look(quiet=False)
            tell(number)
            if number % every == 0 or number == kills:
                self._checkpoint()
                self._misbehave(on=number < kills)
            elif not self.worker.is_alive:
                self.worker.run()

    def _round(self) -> None:
        """Let everything go on for a moment, then kill."""
        rng = self.rng
        if not self.worker.is_alive:
            self.worker.run()
        starting = rng.random() < 0.25
        self.sender.run(rng.randrange(2**32))
        self.people.edit_some()
        if starting:
            time.sleep(rng.random() * 0.4)
        else:
            self.worker.wait_ready()
            deadline = time.monotonic() + min(rng.expovariate(1 / 0.5), 2.0)
            while time.monotonic() < deadline:
                self._disturb(deadline)
        self._kill("while starting" if starting else "while running")

    def _disturb(self, deadline: float) -> None:
        what = self.rng.random()
        if what < 0.3:
            self.people.edit_some()
        elif what < 0.6:
            self._send_hook()
        elif what < 0.65 and not self.replayer.is_alive:
            if self.rng.random() < 0.5:
                (self.folder / "healed").touch()
            self._replay()
        time.sleep(max(min(self.rng.random() * 0.1, deadline - time.monotonic()), 0))

    def _kill(self, kind: str) -> None:
        for process in self.rng.sample([self.worker, self.sender, self.replayer], 3):
            process.kill()
        (self.folder / "healed").unlink(missing_ok=True)
        self.report.kills[kind] += 1

    def _replay(self) -> None:
        database = str(self.worker.database)
        self.replayer = command(
            "dead", "replay", "--all", "--json", "--database", database,
            log=self.folder / "replay.log",
        )  # fmt: skip

    def _send_hook(self) -> None:
        """Send a webhook of ours, sometimes twice; write down those that were accepted."""
        person = self.rng.choice(list(self.people.persons.values()))
        event_id = self.rng.randrange(2**40, 2**48)
        event = {
            "eventId": event_id, "subscriptionId": 1, "portalId": 1, "appId": 1,
            "occurredAt": round(time.time() * 1000), "attemptNumber": 0,
            "subscriptionType": "contact.propertyChange", "propertyName": "city",
            "objectId": int(person.ids.get(0, "1")), "changeSource": "CRM_UI",
        }  # fmt: skip
        body = json.dumps([event]).encode()
        stamp = str(round(time.time() * 1000))
        signature = sign_v3(self._hook["secret"], "POST", self._hook["url"], body, stamp)
        headers = {
            "x-hubspot-signature-v3": signature,
            "x-hubspot-request-timestamp": stamp,
        }
        for _ in range(self.rng.choice((1, 1, 2))):
            try:
                status, _ = post(self._hook["url"], body, headers)
            except OSError:
                return
            if status == 200:
                write_down(self.folder / "hooks.jsonl", [{"event_id": event_id}])

    def _look(self, *, quiet: bool) -> Evidence:
        evidence = Evidence(self.folder, self.worker.database)
        if found := evidence.violations(quiet=quiet):
            raise Violated(found)
        return evidence

    def _checkpoint(self) -> None:
        """Let everything finish and hold the result against what was asked for."""
        self._misbehave(on=False)
        (self.folder / "healed").touch()
        self.worker.run()
        self.worker.wait_ready()
        self._until(self._is_quiet, "all work is finished")
        self._until(lambda: not self.people.violations(), "the sides agree", self.people.violations)
        if echoes := self.people.changed_by_itself(2.5):
            raise Violated(echoes)
        code = self.worker.stop()
        if code != 0:
            raise Violated([f"the worker ended with {code} when asked to stop"])
        self._look(quiet=True)
        self.people.agree()
        (self.folder / "healed").unlink()
        self.report.checkpoints += 1

    def _is_caught_up(self) -> bool:
        status = self.worker.ask("/status")
        return (
            len(status["sync"]) == len(PLATFORMS)
            and all(one["is_caught_up"] for one in status["sync"])
            and not status["deliveries"].get("open")
        )

    def _is_quiet(self) -> bool:
        status = self.worker.ask("/status")
        counts = status["deliveries"]
        if counts.get("dead") and not self.replayer.is_alive:
            self._replay()
        return not any(counts.get(name) for name in ("open", "scheduled", "dead")) and not any(
            one["pending_pushes"] for one in status["sync"]
        )

    def _until(
        self,
        condition: Callable[[], bool],
        what: str,
        why: Callable[[], list[str]] = list,
    ) -> None:
        deadline = time.monotonic() + _QUIET_S
        while time.monotonic() < deadline:
            if not self.worker.is_alive:
                raise Violated([f"the worker ended by itself:\n{log_end(self.worker.log)}"])
            if condition():
                return
            time.sleep(0.1)
        status = self.worker.ask("/status")
        raise Violated([f"not within {_QUIET_S:.0f} s: {what}; {status}", *why()])

    def _misbehave(self, *, on: bool) -> None:
        for side in self.sides:
            side.misbehave(self.rng.randrange(2**32), on=on)

    def _count(self) -> None:
        for process in (self.worker, self.sender, self.replayer):
            process.kill()
        evidence = Evidence(self.folder, self.worker.database)
        runs = Counter(row["handler"] for row in evidence.deliveries if row["status"] == 1)
        self.report.counts = {
            "edits by people": self.people.edits,
            "jobs accepted": len(evidence.accepted),
            "webhooks accepted (ours)": len(evidence.hooks),
            "events in the log": len(evidence.events),
            "runs finished": sum(runs.values()),
            "ticks": runs["tick"],
            "steps recorded": len(evidence.steps),
            "steps that ran (a kill came before the record)": len(evidence.lines),
        }
