"""
The people who edit both sides, and what must have become of each of their edits.

Telephone numbers are only edited at HubSpot and cities only at Salesforce: such an edit may never
be lost. Titles are edited at both: either edit may win, and one of them must.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

from torture.process import PLATFORMS, call

FIELDS = {
    "first_name": ("firstname", "FirstName"),
    "last_name": ("lastname", "LastName"),
    "email": ("email", "Email"),
    "phone": ("phone", "Phone"),
    "job_title": ("jobtitle", "Title"),
    "city": ("city", "MailingCity"),
}
_FAULTS = (
    ("webhook_lost", 0.2),
    ("webhook_duplicate", 0.2),
    ("webhook_reorder", 0.1),
    ("cut_after", 0.02),
    ("cut_before", 0.02),
    ("server_error", 0.02),
    # Not at Salesforce, whose only such refusal means that the day's quota is used up.
    ("rate_limit", 0.01),
)

Values = dict[str, str | None]


@dataclass
class Person:
    """One person: their record's id at each side that has it, and what people last wrote."""

    email: str
    ids: dict[int, str] = field(default_factory=dict)
    phone: str | None = None
    city: str | None = None
    titles: dict[int, str] = field(default_factory=dict)
    """Side -> its last edit of the title since the sides last agreed."""
    agreed_title: str | None = None


class Side:
    """One sandbox through its control endpoints."""

    def __init__(self, number: int, base_url: str) -> None:
        self.number = number
        self.base_url = base_url

    def records(self) -> dict[str, Values]:
        """Return id -> our field -> value, blanks as None."""
        return {one["id"]: self._ours(one["fields"]) for one in self._fetch()}

    def stamps(self) -> dict[str, str]:
        """Return id -> when the record was last modified by anybody."""
        return {one["id"]: one["modified_at"] for one in self._fetch()}

    def edit(self, edits: list[tuple[str | None, Values]]) -> list[str]:
        """Make edits in one moment, as a person with a list view would; return the ids."""
        body = [
            {
                "resource": "contacts",
                **({"id": id} if id is not None else {}),
                "fields": {FIELDS[name][self.number]: value for name, value in values.items()},
            }
            for id, values in edits
        ]
        answer = call(f"{self.base_url}/_sandbox/edit", {"edits": body})
        return [one["id"] for one in answer["records"]]

    def misbehave(self, seed: int, *, on: bool) -> None:
        """Switch the platform's faults on or off."""
        kinds = _FAULTS if self.number == 0 else _FAULTS[:-1]
        faults = [{"kind": kind, "probability": odds} for kind, odds in kinds] if on else []
        call(f"{self.base_url}/_sandbox/faults", {"faults": faults, "seed": seed})

    def dawdle(self, *, on: bool) -> None:
        """Let the platform take its time for each call, or stop that."""
        faults = [{"kind": "latency", "seconds": 0.3}] if on else []
        call(f"{self.base_url}/_sandbox/faults", {"faults": faults})

    def _fetch(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = call(f"{self.base_url}/_sandbox/records/contacts")["records"]
        return found

    def _ours(self, fields: dict[str, Any]) -> Values:
        return {name: fields.get(theirs[self.number]) or None for name, theirs in FIELDS.items()}


class People:
    """Edits both sides and remembers what was written."""

    def __init__(self, sides: list[Side], seed: int) -> None:
        self.sides = sides
        self.rng = random.Random(seed)
        self.persons: dict[str, Person] = {}
        self.edits = 0
        self._made = 0
        self._before = [side.records() for side in sides]

    def wrong_after_first_sync(self) -> list[str]:
        """Hold both sides against what they had before: everybody once on each, nobody twice."""
        before = [_by_email(records) for records in self._before]
        after = [_by_email(side.records()) for side in self.sides]
        wrong: list[str] = []
        for email in sorted(set().union(*before, *after)):
            had = [len(one.get(email, [])) for one in before]
            have = [len(one.get(email, [])) for one in after]
            # Who had been on one side twice, or nowhere, is not for the app to make one more of.
            most = [1, 1] if email and max(had) == 1 else [max(n, sum(had)) for n in had]
            if any(n > m for n, m in zip(have, most, strict=True)):
                wrong.append(f"{email or 'no e-mail'}: {had} records before, {have} afterwards")
        return wrong

    def meet(self) -> None:
        """Get to know who is on both sides exactly once; after the first sync."""
        seen: dict[str, list[tuple[int, str, Values]]] = {}
        for side in self.sides:
            for id, values in side.records().items():
                key = (values["email"] or "").strip().lower()
                if key and values["last_name"]:
                    seen.setdefault(key, []).append((side.number, id, values))
        for email, found in seen.items():
            if sorted(number for number, _, _ in found) != [0, 1]:
                continue
            values = found[0][2]
            self.persons[email] = Person(
                email,
                {number: id for number, id, _ in found},
                values["phone"],
                values["city"],
                agreed_title=values["job_title"],
            )

    def edit_some(self) -> None:
        """Make a handful of edits, some of them in one moment."""
        for side in self.sides:
            known = [one for one in self.persons.values() if side.number in one.ids]
            chosen = self.rng.sample(known, min(len(known), self.rng.randint(1, 6)))
            side.edit([(one.ids[side.number], self._edit(one, side.number)) for one in chosen])
            self.edits += len(chosen)
            if self.rng.random() < 0.3:
                self._newcomer(side)

    def _edit(self, person: Person, number: int) -> Values:
        self._made += 1
        if self.rng.random() < 0.3:
            person.titles[number] = f"Title {self._made} of {PLATFORMS[number]}"
            return {"job_title": person.titles[number]}
        if number == 0:
            person.phone = f"+49 30 {1_000_000 + self._made}"
            return {"phone": person.phone}
        person.city = f"Zürich {self._made}"
        return {"city": person.city}

    def _newcomer(self, side: Side) -> None:
        self._made += 1
        email = f"new.{self._made}.{self.rng.randrange(10**6)}@example.com"
        values: Values = {"first_name": "Nguyễn", "last_name": f"New {self._made}", "email": email}
        (id,) = side.edit([(None, values)])
        self.persons[email] = Person(email, {side.number: id})
        self.edits += 1

    def violations(self) -> list[str]:
        """Hold both sides against what people wrote, and against each other."""
        held = [side.records() for side in self.sides]
        by_email = [_by_email(records) for records in held]
        wrong: list[str] = []
        for person in self.persons.values():
            ids = [found.get(person.email, []) for found in by_email]
            if [len(one) for one in ids] != [1, 1]:
                wrong.append(f"{person.email}: {len(ids[0])} and {len(ids[1])} records")
                continue
            pair = [records[one[0]] for records, one in zip(held, ids, strict=True)]
            wrong += [f"{person.email}: {text}" for text in _wrong_with(person, pair)]
        return wrong

    def agree(self) -> None:
        """Take what the sides agree on as the start of what comes; they must have been checked."""
        held = [side.records() for side in self.sides]
        for side, records in zip(self.sides, held, strict=True):
            by_email = {(one["email"] or "").strip().lower(): id for id, one in records.items()}
            for person in self.persons.values():
                person.ids[side.number] = by_email[person.email]
        for person in self.persons.values():
            person.agreed_title = held[0][person.ids[0]]["job_title"]
            person.titles.clear()

    def changed_by_itself(self, seconds: float) -> list[str]:
        """Return what changes on either side while nobody edits: echoes."""
        before = [side.stamps() for side in self.sides]
        time.sleep(seconds)
        after = [side.stamps() for side in self.sides]
        return [
            f"{PLATFORMS[number]} {id} was written without an edit"
            for number in (0, 1)
            for id, at in after[number].items()
            if before[number].get(id) != at
        ]


def _by_email(records: dict[str, Values]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for id, values in records.items():
        found.setdefault((values["email"] or "").strip().lower(), []).append(id)
    return found


def _wrong_with(person: Person, pair: list[Values]) -> list[str]:
    wrong = [
        f"{name} is {pair[0][name]!r} at HubSpot and {pair[1][name]!r} at Salesforce"
        for name in FIELDS
        if pair[0][name] != pair[1][name]
    ]
    for name in ("phone", "city"):
        if pair[0][name] != getattr(person, name):
            wrong.append(f"{name} is {pair[0][name]!r}, {getattr(person, name)!r} was written")
    allowed = set(person.titles.values()) or {person.agreed_title}
    if pair[0]["job_title"] not in allowed:
        wrong.append(f"job_title is {pair[0]['job_title']!r}, none of {sorted(map(str, allowed))}")
    return wrong
