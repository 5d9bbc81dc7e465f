"""
What the database and the files say after a kill: read from a copy, as a crash left them.

The copy recovers by itself, so that the worker's own recovery is not done for it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from dovetail.core.ids import derive_id
from torture.hooks import CUT
from torture.leak import leaks
from torture.sender import read_lines

OPEN, DONE, SCHEDULED, DEAD = range(4)
_SPOKES = 2
_CAUGHT_UP = "SELECT count(*) FROM sync_cursors WHERE caught_up_at IS NOT NULL"
_HOOKS = "SELECT payload FROM events WHERE type = 'platform.changed' AND source = 'webhook:hubspot'"
_HOOKS_DONE = (
    "SELECT e.payload FROM events e JOIN deliveries d ON d.event_seq = e.seq AND d.status = 1"
    " WHERE e.type = 'platform.changed' AND e.source = 'webhook:hubspot'"
)
_NOWHERE = {
    "a delivery has no event": (
        "SELECT d.id FROM deliveries d LEFT JOIN events e ON e.seq = d.event_seq"
        " WHERE e.seq IS NULL"
    ),
    "a step has no delivery": (
        "SELECT s.delivery_id, s.name FROM steps s LEFT JOIN deliveries d"
        " ON d.id = s.delivery_id WHERE d.id IS NULL"
    ),
    "a link points to no record": (
        "SELECT l.external_id FROM sync_links l LEFT JOIN records r ON r.id = l.internal_id"
        " WHERE l.internal_id IS NOT NULL AND l.state = 'active' AND r.id IS NULL"
    ),
    "an identity points to no record": (
        "SELECT i.internal_id FROM sync_identities i LEFT JOIN records r ON r.id = i.internal_id"
        " WHERE r.id IS NULL"
    ),
    "two links of one connection lead to one record": (
        "SELECT connection_id, internal_id FROM sync_links WHERE state = 'active'"
        " GROUP BY connection_id, internal_id HAVING count(*) > 1"
    ),
    "an event number was given out twice or lost": (
        "SELECT s.next FROM sequences s WHERE s.name = 'events'"
        " AND s.next <> (SELECT coalesce(max(seq), 0) + 1 FROM events)"
    ),
    "a delivery number was given out twice or lost": (
        "SELECT s.next FROM sequences s WHERE s.name = 'deliveries'"
        " AND s.next <> (SELECT coalesce(max(id), 0) + 1 FROM deliveries)"
    ),
}


class Evidence:
    """One look at everything that is on the disk. No process may be writing."""

    def __init__(self, folder: Path, database: Path, secrets: Mapping[str, bytes]) -> None:
        self.accepted = read_lines(folder / "accepted.jsonl")
        self.answers = read_lines(folder / "hooks.jsonl")
        self.hooks = {one["event_id"] for one in self.answers if one["status"] == 200}
        self.lines = read_lines(folder / "steps.jsonl")
        self.clock_jumped = (folder / "clock").exists()
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for suffix in ("", "-wal"):
            source = database.with_name(database.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy / source.name)
        files = [*folder.glob("*.log"), *copy.iterdir()]
        self.leaks = list(leaks(files, secrets))
        self.faults = [
            file.name
            for file in folder.glob("worker-*.log")
            if "Traceback" in (text := file.read_text(errors="replace"))
            or "run_bookkeeping_failed" in text
        ]
        with closing(sqlite3.connect(copy / database.name)) as connection:
            connection.row_factory = sqlite3.Row
            self._read(connection)

    def _read(self, db: sqlite3.Connection) -> None:
        self.integrity = [row[0] for row in db.execute("PRAGMA integrity_check")]
        self.nowhere = {
            text: [tuple(row) for row in db.execute(query)] for text, query in _NOWHERE.items()
        }
        self.deliveries = db.execute(
            "SELECT d.id, d.handler, d.status, d.finished_at, e.id AS event, e.type, e.payload"
            " FROM deliveries d JOIN events e ON e.seq = d.event_seq"
        ).fetchall()
        self.events: dict[str, str] = {
            row["id"]: row["type"] for row in db.execute("SELECT id, type FROM events")
        }
        self.hooks_stored = Counter(_hook_id(row) for row in db.execute(_HOOKS))
        self.hooks_done = {_hook_id(row) for row in db.execute(_HOOKS_DONE)}
        self.ticks = db.execute(
            "SELECT id, source, payload FROM events WHERE source LIKE 'schedule:%'"
        ).fetchall()
        self.is_first_sync = db.execute(_CAUGHT_UP).fetchone()[0] != _SPOKES
        self.steps = db.execute("SELECT * FROM steps").fetchall()
        self.records: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in db.execute("SELECT entity, data FROM records"):
            self.records[row["entity"]].append(json.loads(row["data"]))
        self.intents = db.execute("SELECT count(*) FROM sync_intents").fetchone()[0]

    @property
    def dead(self) -> list[int]:
        """The ids of dead letters."""
        return [row["id"] for row in self.deliveries if row["status"] == DEAD]

    def violations(self, *, quiet: bool) -> list[str]:
        """
        Return what must never be seen, in words.

        Args:
            quiet: All work was finished: then nothing may be missing either.
        """
        wrong = [f"integrity_check: {text}" for text in self.integrity if text != "ok"]
        wrong += [f"{text}: {rows[:3]}" for text, rows in self.nowhere.items() if rows]
        wrong += self.leaks
        wrong += [f"the worker met a fault of its own, see {name}" for name in self.faults]
        wrong += self._lost()
        wrong += self._badly_answered()
        wrong += self._doubled()
        wrong += self._ticked()
        wrong += self._repeated_steps()
        if quiet:
            wrong += self._unfinished()
        return wrong

    def under_way(self) -> list[str]:
        """Return what a kill came into the middle of, as far as the database tells."""
        open_now = {row["id"]: row for row in self.deliveries if row["status"] == OPEN}
        recorded = {row["delivery_id"] for row in self.steps}
        handlers = {row["handler"] for row in open_now.values()}
        found = {
            "the first sync": self.is_first_sync,
            "a write to a platform": bool(self.intents),
            "a run between its steps": bool(recorded & open_now.keys()),
            "a webhook that was taken": "platform.changed"
            in {r["type"] for r in open_now.values()},
            "a tick": "tick" in handlers,
            "a job": "work" in handlers,
        }
        return [name for name, is_so in found.items() if is_so]

    def _lost(self) -> list[str]:
        wrong = [
            f"the accepted event {one['id']} (job {one['number']}) is gone"
            for one in self.accepted
            if one["id"] not in self.events
        ]
        for event_id in self.hooks:
            if (count := self.hooks_stored[event_id]) != 1:
                wrong.append(f"webhook event {event_id} was accepted, stored {count} times")
        return wrong

    def _badly_answered(self) -> list[str]:
        """A webhook is taken, or asked for again; a clock that jumped makes signatures too old."""
        allowed = {CUT, 200, 503} | ({401} if self.clock_jumped else set())
        return [
            f"webhook event {one['event_id']} was answered {one['status']}"
            + (" without Retry-After" if one["status"] == 503 else "")
            for one in self.answers
            if one["status"] not in allowed or (one["status"] == 503 and not one["retry_after"])
        ]

    def _ticked(self) -> list[str]:
        """The user's schedule: one event for each moment that was due, whose id says which."""
        due: Counter[str] = Counter()
        wrong: list[str] = []
        for row in self.ticks:
            name, moment = row["source"].partition(":")[2], json.loads(row["payload"])["due_at"]
            if name.startswith("sync"):
                continue
            due[moment] += 1
            if row["id"] != derive_id(datetime.fromisoformat(moment), "tick", name):
                wrong.append(f"the tick of {moment} has the id {row['id']}, which is not its own")
        return wrong + [f"the tick of {one} came {n} times" for one, n in due.items() if n > 1]

    def _doubled(self) -> list[str]:
        """Effect and "done" commit together: as many effects as finished runs, one for each."""
        wrong: list[str] = []
        done: dict[str, list[str]] = defaultdict(list)
        for row in self.deliveries:
            if row["status"] == DONE:
                done[row["handler"]].append(row["event"])
        seen: dict[str, list[str]] = defaultdict(list)
        for one in self.records["seen"]:
            seen[one["handler"]].append(one["about"])
        for handler in ("record", "greet", "tick"):
            wrong += _differ(f"effects of {handler}", seen[handler], "its runs", done[handler])
        jobs, total = len(self.records["job"]), sum(one["total"] for one in self.records["tally"])
        sent = sum(1 for kind in self.events.values() if kind == "job.done")
        if not len(done["work"]) == jobs == total == sent:
            wrong.append(
                f"{len(done['work'])} runs of work, {jobs} jobs, tally {total}, {sent} job.done"
            )
        return wrong

    def _repeated_steps(self) -> list[str]:
        """A step that was recorded may not have run once more afterwards."""
        of_event = {(row["handler"], row["event"]): row["id"] for row in self.deliveries}
        handlers = {"first": "work", "last": "work", "greet": "greet", "tick": "tick"}
        lines: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
        charges: dict[str, list[dict[str, Any]]] = defaultdict(list)
        wrong: list[str] = []
        for line in self.lines:
            name, about = str(line["step"]), str(line["about"])
            if name == "charge":
                charges[about].append(line)
            elif (delivery := of_event.get((handlers[name], about))) is None:
                wrong.append(f"step {name} ran for the event {about}, which is gone")
            else:
                lines[delivery, name].append(line)
        for row in self.steps:
            if (row["delivery_id"], row["name"]) not in lines and ":" not in row["name"]:
                wrong.append(
                    f"step {row['name']} of {row['delivery_id']} was recorded but never ran"
                )
                continue
            wrong += _ran_again(
                f"step {row['name']} of delivery {row['delivery_id']}",
                lines[row["delivery_id"], row["name"]],
                # The two moments are of one clock only while nobody sets it.
                None if self.clock_jumped else row["recorded_at"],
                json.loads(row["result"]),
            )
        return wrong + self._charged(charges)

    def _charged(self, charges: dict[str, list[dict[str, Any]]]) -> list[str]:
        wrong: list[str] = []
        for one in self.records["sync_operation"]:
            if one.get("result") is None:
                continue
            number = one["idempotency_key"].partition(":")[2]
            tokens = [line["token"] for line in charges[number]]
            if one["result"] not in tokens:
                wrong.append(f"the charge {number} has a result that no call gave")
            elif tokens[-1] != one["result"]:
                wrong.append(f"job {number} was charged again after its result was recorded")
        results = {
            one["idempotency_key"].partition(":")[2]: one.get("result")
            for one in self.records["sync_operation"]
        }
        for job in self.records["job"]:
            if job["tokens"][1] != results.get(str(job["number"])):
                wrong.append(f"job {job['number']} was given another charge than was recorded")
        return wrong

    def _unfinished(self) -> list[str]:
        names = {OPEN: "open", SCHEDULED: "scheduled", DEAD: "dead"}
        left = Counter(
            (row["handler"], names[row["status"]])
            for row in self.deliveries
            if row["status"] in names
        )
        # A schedule goes on while the last look is taken.
        wrong = [
            f"{count} deliveries to {handler} are {status}"
            for (handler, status), count in left.items()
            if handler != "tick" and not handler.startswith("sync")
        ]
        if missing := self.hooks - self.hooks_done:
            wrong.append(f"{len(missing)} accepted webhooks were not handled: {list(missing)[:3]}")
        if self.intents:
            wrong.append(f"{self.intents} writes to platforms are recorded as under way")
        done = Counter(job["number"] for job in self.records["job"])
        wanted = Counter(one["number"] for one in self.accepted)
        wrong += [
            f"job {number} was accepted {count} times and done {done[number]} times"
            for number, count in wanted.items()
            if done[number] != count
        ]
        return wrong


def _differ(what: str, found: list[str], than: str, wanted: list[str]) -> Iterable[str]:
    more, less = Counter(found) - Counter(wanted), Counter(wanted) - Counter(found)
    if more or less:
        yield f"{what} differ from {than}: too many {list(more)[:3]}, too few {list(less)[:3]}"


def _ran_again(
    what: str, lines: list[dict[str, Any]], recorded_at: int | None, result: Any
) -> Iterable[str]:
    if not lines:
        return
    if lines[-1]["token"] != result:
        yield f"{what} ran after its result was recorded ({len(lines)} times)"
    late = [line["at"] for line in lines if recorded_at is not None and line["at"] > recorded_at]
    if late:
        yield f"{what} ran at {late[0]}, recorded at {recorded_at}"


def _hook_id(row: sqlite3.Row) -> Any:
    return json.loads(row["payload"])["detail"].get("eventId")
