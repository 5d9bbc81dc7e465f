"""
The two sandboxes as a judge sees them: read and edited through their control endpoints.

Used by `demo.py`; nothing here looks at Dovetail.
"""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

# Our name -> the field at HubSpot and at Salesforce, as in crm_sync.py.
FIELDS = {
    "first_name": ("firstname", "FirstName"),
    "last_name": ("lastname", "LastName"),
    "email": ("email", "Email"),
    "phone": ("phone", "Phone"),
    "job_title": ("jobtitle", "Title"),
    "city": ("city", "MailingCity"),
}
HUBSPOT, SALESFORCE = 0, 1
PLATFORMS = ("hubspot", "salesforce")
TITLES = ("HubSpot", "Salesforce")


@dataclass
class Side:
    """One sandbox, looked at and edited through its control endpoints."""

    number: int
    url: str
    before: dict[str, int] = field(default_factory=dict)

    def records(self) -> dict[str, dict[str, str | None]]:
        """Return id -> our field -> value, blanks as None."""
        found = request(f"{self.url}/_sandbox/records/contacts")["records"]
        return {
            one["id"]: {
                ours: one["fields"].get(theirs[self.number]) or None
                for ours, theirs in FIELDS.items()
            }
            for one in found
        }

    def edit(self, edits: list[dict[str, Any]]) -> None:
        """Make edits as people in the platform's own pages would."""
        body = [
            {
                "resource": "contacts",
                **({"id": one["id"]} if "id" in one else {}),
                "fields": {FIELDS[name][self.number]: value for name, value in one["set"].items()},
            }
            for one in edits
        ]
        for item in body:
            request(f"{self.url}/_sandbox/edit", item)

    def faults(self, *faults: dict[str, Any]) -> None:
        """Make the platform misbehave."""
        request(f"{self.url}/_sandbox/faults", {"faults": list(faults), "seed": 7})

    def calls(self) -> int:
        """Return how many API calls it has answered."""
        return int(request(f"{self.url}/_sandbox/calls")["total"])


@dataclass
class Agreement:
    """What a comparison of the two sides found."""

    pairs: int = 0
    differing: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    set_aside: int = 0

    @property
    def holds(self) -> bool:
        """Whether the two sides agree."""
        return not (self.differing or self.missing or self.doubled)


def compare(sides: list[Side]) -> Agreement:
    """Hold every record of one side against its counterpart on the other."""
    found = Agreement()
    left, right = (side.records() for side in sides)
    at_left, at_right = by_key(left.values()), by_key(right.values())
    for key in at_left.keys() | at_right.keys():
        ours, theirs = at_left.get(key, []), at_right.get(key, [])
        name = str(key)
        known = max(sides[HUBSPOT].before.get(name, 1), sides[SALESFORCE].before.get(name, 1))
        if len(ours) > known or len(theirs) > known:
            found.doubled.append(name)
        elif not theirs and all(not one["last_name"] for one in ours):
            found.set_aside += len(ours)  # Salesforce refuses a contact without a last name
        elif not ours or not theirs:
            found.missing.append(name)
        elif not any(one == other for one in ours for other in theirs):
            found.differing.append(name)
        else:
            found.pairs += 1
            found.set_aside += len(ours) + len(theirs) - 2
    return found


def by_key(records: Any) -> dict[str, list[dict[str, str | None]]]:
    """Group records by e-mail address, those without one by everything they say."""
    groups: dict[str, list[dict[str, str | None]]] = {}
    for one in records:
        groups.setdefault(key_of(one), []).append(one)
    return groups


def key_of(record: dict[str, str | None]) -> str:
    """Return what makes two records the same person."""
    email = (record["email"] or "").strip().lower()
    return email or " ".join(sorted(str(value).strip() for value in record.values() if value))


def addresses(side: Side) -> dict[str, int]:
    """Return key -> how many records have it: a side may hold doubles before we come."""
    return dict(Counter(key_of(one) for one in side.records().values()))


def request(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Call a local URL and return its JSON."""
    data = json.dumps(body).encode() if body is not None else None
    call = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310 - loopback
    with urllib.request.urlopen(call, timeout=30) as answer:  # noqa: S310 - loopback
        found: dict[str, Any] = json.load(answer)
    return found
