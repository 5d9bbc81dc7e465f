"""
The storm: people edit, jobs and webhooks are sent, dead letters replayed, and SIGKILL comes.

    first sync, killed again and again
    kill -> look at what is on the disk -> start again -> …    every so often one of:
        a full disk, a read-only file, a lock, a clock that jumps: killed meanwhile, or afterwards
        wait for quiet and judge
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from torture.condition import Condition, conditions
from torture.evidence import Evidence
from torture.hooks import Door, Hooks
from torture.leak import secrets_of
from torture.people import People, Side
from torture.process import (
    PLATFORMS,
    Forked,
    Sender,
    Worker,
    command,
    free_ports,
    preload,
    sandbox,
)
from torture.process import tail as log_end
from torture.report import Report
from torture.sender import read_lines
from torture.volume import Volume

# A sync that has failed often waits up to five minutes before it is tried again.
_QUIET_S = 400.0
# A full disk is noticed by the next write, a lock after `busy_s`, and both are told then.
_NOTICED_S = 30.0
_WRONG_EVERY = 6
_JUDGED_EVERY = 40


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
        self.volume = Volume(folder / "data", folder / "volume.img")
        self.worker = Worker(folder, free_ports())
        self.sender = Sender(folder, self.worker.database)
        self.hooks = Hooks(folder)
        self.replayer = Forked(folder / "replay.log")
        self.conditions = conditions(self.worker, self.volume, self.rng)

    def run(self, kills: int, tell: Callable[[int], None]) -> Report:
        """Go through *kills* kills; the report holds the violations."""
        began = time.monotonic()
        preload()
        with ExitStack() as stack:
            stack.callback(self.volume.remove)
            self.volume.make()
            platforms = stack.enter_context(
                sandbox(self.folder, self.worker.database, self.records, self.report.seed)
            )
            for process in (self.worker, self.sender, self.hooks, self.replayer):
                stack.callback(process.kill)
            for condition in self.conditions:
                stack.callback(condition.end)
            self.secrets = secrets_of(platforms)
            self.sides = [
                Side(number, platforms[name]["base_url"]) for number, name in enumerate(PLATFORMS)
            ]
            self.people = People(self.sides, self.report.seed)
            try:
                self._first_sync(platforms["hubspot"]["webhook_secret"], min(kills // 10, 20))
                self._kill_often(kills, tell)
            except Violated as found:
                self.report.violations += found.violations
            self._kill_all()
            self.report.count(self._evidence(), edits=self.people.edits)
        self.report.seconds = time.monotonic() - began
        return self.report

    def _first_sync(self, secret: str, kills: int) -> None:
        self.sender.prepare()
        for side in self.sides:
            side.dawdle(on=True)  # it would be over before the first kill otherwise
        for _ in range(kills):
            self.worker.run()
            time.sleep(self.rng.uniform(0.2, 1.5))
            self._kill("while syncing first")
            if not self._look(quiet=False).is_first_sync:
                break
        for side in self.sides:
            side.dawdle(on=False)
        self.worker.run()
        self._until(lambda: bool(self._webhooks()), "the worker says where webhooks go")
        url = next(url for url in self._webhooks().values() if "/hubspot/" in url)
        self.door = Door(url, secret)
        self._until(self._is_caught_up, "the first sync ended")
        if wrong := self.people.wrong_after_first_sync():
            raise Violated(wrong)
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
        wrong = itertools.cycle(self.conditions)
        every = max(min(_JUDGED_EVERY, kills // 2), 1)
        judged = self.report.total
        self._misbehave(on=True)
        for number in itertools.count(1):
            if number % _WRONG_EVERY == 0:
                self._go_wrong(next(wrong))
            else:
                self._round()
            tell(self.report.total)
            is_last = self.report.total >= kills
            if self.report.total - judged >= every or is_last:
                judged = self.report.total
                self._checkpoint()
                if is_last:
                    return
                self._misbehave(on=True)

    def _round(self) -> None:
        """Let everything go on for a moment, then kill."""
        starting = self.rng.random() < 0.25
        self._begin()
        if starting:
            time.sleep(self.rng.random() * 0.4)
        else:
            self.worker.wait_ready()
            self._disturb(min(self.rng.expovariate(1 / 0.5), 2.0))
        self._kill("while starting" if starting else "while running")
        self._look(quiet=False)

    def _begin(self, *, shifted: bool = False) -> None:
        if not self.worker.is_alive:
            self.worker.run(shifted=shifted)
        contacts = [int(one.ids[0]) for one in self.people.persons.values() if 0 in one.ids]
        self.sender.run(self.rng.randrange(2**32))
        self.hooks.run(self.door, contacts, self.rng.randrange(2**32))
        self.people.edit_some()

    def _disturb(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            what = self.rng.random()
            if what < 0.3:
                self.people.edit_some()
            elif what < 0.45 and not self.replayer.is_alive:
                if self.rng.random() < 0.5:
                    (self.folder / "healed").touch()
                self._replay()
            time.sleep(max(min(self.rng.random() * 0.2, left), 0))

    def _go_wrong(self, condition: Condition) -> None:
        """Let a condition come over a running worker; kill it meanwhile, or after it went on."""
        self._begin(shifted=not condition.stops_writing)
        self.worker.wait_ready()
        self._disturb(1.0)
        try:
            if not condition.begin():
                self.report.impossible.add(condition.name)
                return
            told = self._refusals()
            if condition.stops_writing:
                self._until(
                    lambda: self._refusals() > told, f"{condition.name} is told", _NOTICED_S
                )
            self._disturb(self.rng.uniform(1.0, 3.0))
            if self.rng.random() < 0.5:
                self._kill(f"with {condition.name}")
                self._look(quiet=False)
                self._start_in_vain(condition)
        finally:
            condition.end()
        if self.worker.is_alive:
            self._went_on(condition)
            self._kill(f"after {condition.name}")
            self._look(quiet=False)

    def _start_in_vain(self, condition: Condition) -> None:
        """Start in the middle of the condition: it runs, or says in a sentence why it cannot."""
        self.worker.run(shifted=not condition.stops_writing)
        deadline = time.monotonic() + self.rng.uniform(1.0, 4.0)
        while self.worker.is_alive and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.worker.is_alive:
            self.report.conditions[f"{condition.name}: started meanwhile"] += 1
            return
        self.report.conditions[f"{condition.name}: refused to start meanwhile"] += 1
        if not self.worker.code or "Error: " not in log_end(self.worker.log):
            raise Violated([f"ended with {self.worker.code}:\n{log_end(self.worker.log)}"])

    def _went_on(self, condition: Condition) -> None:
        pid = self.worker.pid
        self.worker.wait_ready()
        done = self._done()
        taken = self._taken()
        if not self.hooks.is_alive:
            self._begin()
        self._until(
            lambda: self._done() > done and self._taken() > taken,
            f"the worker goes on after {condition.name}",
        )
        if self.worker.pid != pid:
            raise Violated([f"the worker did not live through {condition.name}"])
        self.report.conditions[f"{condition.name}: went on by itself"] += 1

    def _refusals(self) -> int:
        return self.worker.log.read_text(errors="replace").count('"store_refused"')

    def _done(self) -> int:
        return int(self.worker.ask("/status")["deliveries"].get("done", 0))

    def _taken(self) -> int:
        return sum(1 for one in read_lines(self.hooks.answers) if one["status"] == 200)

    def _kill(self, kind: str) -> None:
        replaying = self.replayer.is_alive
        self._kill_all()
        (self.folder / "healed").unlink(missing_ok=True)
        self.report.kills[kind] += 1
        if replaying:
            self.report.under_way["`dovetail dead replay`"] += 1
        self.report.under_way.update(self._evidence().under_way())

    def _kill_all(self) -> None:
        processes = [self.worker, self.sender, self.hooks, self.replayer]
        for process in self.rng.sample(processes, len(processes)):
            process.kill()

    def _replay(self) -> None:
        database = str(self.worker.database)
        self.replayer = command(
            "dead", "replay", "--all", "--json", "--database", database,
            log=self.folder / "replay.log",
        )  # fmt: skip

    def _evidence(self) -> Evidence:
        return Evidence(self.folder, self.worker.database, self.secrets)

    def _look(self, *, quiet: bool) -> Evidence:
        evidence = self._evidence()
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
        self._until(
            lambda: not self.people.violations(), "the sides agree", why=self.people.violations
        )
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
        within_s: float = _QUIET_S,
        why: Callable[[], list[str]] = list,
    ) -> None:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if not self.worker.is_alive:
                raise Violated([f"the worker ended by itself:\n{log_end(self.worker.log)}"])
            if condition():
                return
            time.sleep(0.1)
        raise Violated([f"not within {within_s:.0f} s: {what}; {self._status()}", *why()])

    def _status(self) -> Any:
        try:
            return self.worker.ask("/status")
        except OSError as error:
            return f"no status: {error}"

    def _misbehave(self, *, on: bool) -> None:
        for side in self.sides:
            side.misbehave(self.rng.randrange(2**32), on=on)
