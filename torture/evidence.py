"""
What the database and the files say after a kill: read from a copy, as a crash left them.

The copy recovers by itself, so that the worker's own recovery is not done for it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from torture.sender import read_lines

OPEN, DONE, SCHEDULED, DEAD = range(4)
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

    def __init__(self, folder: Path, database: Path) -> None:
        self.accepted = read_lines(folder / "accepted.jsonl")
        self.hooks = read_lines(folder / "hooks.jsonl")
        self.lines = read_lines(folder / "steps.jsonl")
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for suffix in ("", "-wal"):
            source = database.with_name(database.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy / source.name)
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
        self.hooks_stored = Counter(
            json.loads(row["payload"])["detail"].get("eventId")
            for row in db.execute(
                "SELECT payload FROM events"
                " WHERE type = 'platform.changed' AND source = 'webhook:hubspot'"
            )
        )
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
        wrong += self._lost()
        wrong += self._doubled()
        wrong += self._repeated_steps()
        if quiet:
            wrong += self._unfinished()
        return wrong

    def _lost(self) -> list[str]:
        wrong = [
            f"the accepted event {one['id']} (job {one['number']}) is gone"
            for one in self.accepted
            if one["id"] not in self.events
        ]
        for one in self.hooks:
            if (count := self.hooks_stored[one["event_id"]]) != 1:
                wrong.append(f"webhook event {one['event_id']} was accepted, stored {count} times")
        return wrong

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
                row["recorded_at"],
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
    what: str, lines: list[dict[str, Any]], recorded_at: int, result: Any
) -> Iterable[str]:
    if not lines:
        return
    if lines[-1]["token"] != result:
        yield f"{what} ran after its result was recorded ({len(lines)} times)"
    if late := [line["at"] for line in lines if line["at"] > recorded_at]:
        yield f"{what} ran at {late[0]}, recorded at {recorded_at}"
