"""The people of a world: they edit records on every side, and what they did is remembered."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dovetail.core.transport import HttpRequest
from dovetail.service.handlers import DEFAULT_TENANT
from dovetail.simulator_sdk.base import Simulator
from dovetail.simulator_sdk.record import Record
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.testing.simulation.trace import Trace
from dovetail.testing.simulation.world import Edit

_FIXED = ("email",)
"""What makes two records one person is not edited."""


@dataclass(frozen=True, slots=True)
class Side:
    """One account of a world and the resource that is synced; `fields`: their -> our name."""

    position: int
    tenant: str
    simulator: Simulator
    connection_id: str
    resource: str
    fields: Mapping[str, str]

    @property
    def name(self) -> str:
        """The platform's name, and whose account it is where there are several."""
        platform = self.simulator.platform
        return platform if self.tenant == DEFAULT_TENANT else f"{platform} of {self.tenant}"

    def records(self) -> list[Record]:
        """Return what is there now, oldest first."""
        return list(self.simulator.table(self.resource))

    def values(self, record: Record) -> dict[str, Any]:
        """Return the mapped values of a record under our names."""
        return {our: record.fields.get(their) for their, our in self.fields.items()}

    def their(self, our: str) -> str:
        """Return the platform's name of one of our fields."""
        return next(their for their, name in self.fields.items() if name == our)


@dataclass(frozen=True, slots=True)
class Entry:
    """
    A person gave one field of one record a value.

    `at` is by the platform's own clock, `true_s` by the clock of the world, `turn` by the lines of
    the trace.
    """

    side: int
    id: str
    field: str
    value: Any
    at: datetime
    true_s: float
    turn: int
    duel: int | None = None


class People:
    """
    Makes edits as people do, in the platforms' own interfaces.

    Args:
        sides: Where.
        trace: Where each edit is noted.
    """

    def __init__(self, sides: Sequence[Side], trace: Trace) -> None:
        self.sides = sides
        self.entries: list[Entry] = []
        self.replaced: dict[Entry, int] = {}
        """Edits whose value a call of the app replaced, and when that was sent."""
        self._standing: dict[tuple[int, str, str], tuple[Entry, Any]] = {}
        self.made: set[tuple[int, str]] = set()
        """Records that were there at first or that a person made."""
        self.upset: dict[tuple[int, str], float] = {}
        """Records that a person merged or deleted, and when."""
        self._waiting: list[tuple[Side, Edit]] = []
        self._trace = trace
        mapped = set(sides[0].fields.values())
        for side in sides[1:]:
            mapped &= set(side.fields.values())
        self._fields = sorted(mapped.difference(_FIXED))
        self._blankable = [name for name in self._fields if "name" not in name] or self._fields
        self.first: dict[tuple[int, str], dict[str, Any]] = {}
        """What each record held at first, under our names."""
        for side in sides:
            for record in side.records():
                self.made.add((side.position, record.id))
                self.first[side.position, record.id] = side.values(record)

    def do(self, edit: Edit) -> Edit | None:
        """Make an edit; return another one that has to follow, if there is one."""
        rng = random.Random(f"edit/{edit.seed}")
        side = self.sides[edit.side % len(self.sides)]
        act = getattr(self, f"_{edit.kind}")
        try:
            follows: Edit | None = act(side, rng, edit)
        except RefusedError as error:
            self._trace.add(f"person at {side.name} is refused: {error.message}")
            return None
        return follows

    def _change(self, side: Side, rng: random.Random, _: Edit) -> None:
        record = _choose(rng, side.records())
        if record is not None:
            field = rng.choice(self._fields)
            self._set(side, record.id, field, _value(field, rng))

    def _answer(self, side: Side, rng: random.Random, edit: Edit) -> None:
        """Wait for the app to write at this side, and edit what it wrote, at once."""
        self._waiting.append((side, edit))

    def note_write(self, url: str) -> None:
        """Look whether somebody waits for a write of the app."""
        for side, edit in self._waiting:
            if not url.startswith(f"{side.simulator.base_url}/"):
                continue
            rng = random.Random(f"answer/{edit.seed}")
            since = side.simulator.now() - timedelta(seconds=2)
            record = _choose(rng, [one for one in side.records() if one.modified_at >= since])
            if record is None:
                continue
            self._waiting.remove((side, edit))
            field = rng.choice(self._fields)
            with contextlib.suppress(RefusedError):
                self._set(side, record.id, field, _value(field, rng))
            return

    def note_call(self, request: HttpRequest, sent: int) -> None:
        """Look whether a call of the app, which is over, replaced what somebody had set."""
        for key, (entry, value) in list(self._standing.items()):
            side = self.sides[entry.side]
            named = request.url.startswith(f"{side.simulator.base_url}/")
            if not named or entry.id.encode() not in request.body:
                continue
            record = side.simulator.table(side.resource).get(entry.id)
            if record is None or record.fields.get(side.their(entry.field)) != value:
                self.replaced[entry] = sent
                del self._standing[key]

    def _blank(self, side: Side, rng: random.Random, _: Edit) -> None:
        record = _choose(rng, side.records())
        if record is not None:
            self._set(side, record.id, rng.choice(self._blankable), "")

    def _bulk(self, side: Side, rng: random.Random, _: Edit) -> None:
        records = side.records()
        field = rng.choice(self._blankable)
        value = _value(field, rng)
        with side.simulator.one_moment():
            for record in rng.sample(records, min(len(records), rng.randrange(3, 25))):
                self._set(side, record.id, field, value)

    def _duel(self, side: Side, rng: random.Random, edit: Edit) -> Edit | None:
        """Change one field here, and return the edit that changes it there a little later."""
        answers = edit.seed % 2 == 1
        other = self._next(side)
        first, second = (other, side) if answers else (side, other)
        by_email = {_email(one): one for one in second.records() if _email(one)}
        pairs = sorted((_email(one), one.id) for one in first.records() if _email(one) in by_email)
        del by_email
        shared = random.Random(f"duel/{edit.seed // 2}")
        if not pairs:
            return None
        email, _id = pairs[shared.randrange(len(pairs))]
        field = self._fields[shared.randrange(len(self._fields))]
        target = next(one for one in side.records() if _email(one) == email)
        self._set(side, target.id, field, _value(field, rng), duel=edit.seed // 2)
        if answers:
            return None
        later = edit.at_s + 2 + shared.random() * 20
        return Edit(later, "duel", other.position, edit.seed // 2 * 2 + 1)

    def _create(self, side: Side, rng: random.Random, edit: Edit) -> None:
        fields = self._person(rng, edit.seed)
        if rng.random() < 0.3:
            fields.pop("email", None)
        self._make(side, fields)

    def _twin(self, side: Side, rng: random.Random, edit: Edit) -> None:
        fields = self._person(rng, edit.seed)
        for one in (side, self._next(side)):
            self._make(one, fields)

    def _merge(self, side: Side, rng: random.Random, _: Edit) -> None:
        records = side.records()
        if len(records) < 4:
            return
        kept, lost = rng.sample(records, 2)
        self._trace.add(f"person at {side.name} merges {lost.id} into {kept.id}")
        made = side.simulator.merge_records(
            side.resource, kept.id, lost.id, source=side.simulator.ui_source
        )
        for id in (kept.id, lost.id, made.id):
            self.upset[side.position, id] = side.simulator.clock.monotonic()
            self.made.add((side.position, id))

    def _delete(self, side: Side, rng: random.Random, _: Edit) -> None:
        record = _choose(rng, side.records())
        if record is None:
            return
        self._trace.add(f"person at {side.name} deletes {record.id}")
        side.simulator.delete_record(side.resource, record.id, source=side.simulator.ui_source)
        self.upset[side.position, record.id] = side.simulator.clock.monotonic()

    def _next(self, side: Side) -> Side:
        """Return another platform of the same tenant."""
        fellows = [one for one in self.sides if one.tenant == side.tenant]
        return fellows[(fellows.index(side) + 1) % len(fellows)]

    def _person(self, rng: random.Random, seed: int) -> dict[str, str]:
        chosen = {name: _value(name, rng) for name in self._fields}
        return chosen | {"email": f"new.{seed}@example.com"}

    def _make(self, side: Side, ours: Mapping[str, str]) -> None:
        fields = {their: ours[our] for their, our in side.fields.items() if our in ours}
        made = side.simulator.create_record(side.resource, fields, source=side.simulator.ui_source)
        self.made.add((side.position, made.id))
        self._trace.add(f"person at {side.name} creates {made.id}")

    def _set(self, side: Side, id: str, field: str, value: Any, duel: int | None = None) -> None:
        simulator, their = side.simulator, side.their(field)
        record = simulator.table(side.resource).get(id)
        before = record.fields.get(their) if record else None
        turn = self._trace.size
        changed = simulator.update_record(
            side.resource, id, {their: value}, source=simulator.ui_source
        )
        moment, true_s = simulator.now(), simulator.clock.monotonic()
        # To save what is there already is no edit that anybody could see.
        if (before or "") != value:
            entry = Entry(side.position, id, field, value, moment, true_s, turn, duel)
            self.entries.append(entry)
            self._standing[side.position, id, field] = entry, changed.fields.get(their)
        self._trace.add(f"person at {side.name} sets {id} {field}={value!r}")


def forget_addresses(sides: Sequence[Side], share: float, seed: int) -> None:
    """Take the e-mail address from a share of the people who are on one side alone."""
    rng = random.Random(f"keyless/{seed}")
    counts = Counter((side.tenant, _email(record)) for side in sides for record in side.records())
    for side in sides:
        for record in side.records():
            if counts[side.tenant, _email(record)] == 1 and rng.random() < share:
                simulator = side.simulator
                simulator.update_record(
                    side.resource,
                    record.id,
                    {side.their("email"): ""},
                    source=simulator.ui_source,
                )


def _choose(rng: random.Random, records: Sequence[Record]) -> Record | None:
    return records[rng.randrange(len(records))] if records else None


def _email(record: Record) -> str:
    found = record.fields.get("email") or record.fields.get("Email") or ""
    return str(found).strip().lower()


def _value(field: str, rng: random.Random) -> str:
    if "phone" in field:
        return f"+1 555 {rng.randrange(100, 999)} {rng.randrange(1000, 9999)}"
    return f"{field.replace('_', ' ').title()} {rng.randrange(100_000)}"
