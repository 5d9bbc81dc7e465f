"""The promises of the sync, each as a function that looks for its violation, and all of them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dovetail.testing.simulation.evidence import Evidence
from dovetail.testing.simulation.invariant_runtime import (
    Found,
    accepted_webhooks_count,
    calls_are_bounded,
    effects_happen_once,
    limits_hold,
    quotas_are_used,
    recorded_steps_rest,
    secrets_stay_secret,
    tenants_stay_apart,
    writes_stop,
)
from dovetail.testing.simulation.invariant_tokens import TOKEN_INVARIANTS
from dovetail.testing.simulation.invariant_workflow import WORKFLOW_INVARIANTS
from dovetail.testing.simulation.people import Entry

_LEEWAY_S = 2.0
"""The finest time that every platform keeps, twice."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise; `about` are words by which the trace can be searched."""

    invariant: str
    what: str
    about: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}"


def same(field: str, one: Any, other: Any) -> bool:
    """Return whether two platforms hold the same value, however they write it."""
    first, second = _plain(field, one), _plain(field, other)
    return first == second


def _plain(field: str, value: Any) -> str:
    text = re.sub(r"\s+", " ", str(value if value is not None else "")).strip()
    if field == "email":
        return text.lower()
    return re.sub(r"\D", "", text) or text if "phone" in field else text


def everything_settles(evidence: Evidence) -> Found:
    """When edits and faults have stopped, nothing is left to do."""
    if not evidence.is_settled:
        yield "the sync did not come to rest", ()
    for one in evidence.unfinished:
        yield f"{one.handler} of {one.key} has status {one.status}: {one.error[:300]}", (one.key,)


def sides_agree(evidence: Evidence) -> Found:
    """All sides hold the same mapped values."""
    for internal_id, sides in evidence.hubs().items():
        held = [
            (evidence.sides[side], link.external_id, evidence.live.get((side, link.external_id)))
            for side, links in sides.items()
            for link in links
        ]
        waiting = evidence.frozen(internal_id)
        for first, second in itertools.pairwise(held):
            if first[2] is None or second[2] is None:
                continue
            ours, theirs = first[0].values(first[2]), second[0].values(second[2])
            for name, value in ours.items():
                if name in waiting or name not in theirs or same(name, value, theirs[name]):
                    continue
                yield (
                    f"{name} of {internal_id} is {value!r} at {first[0].name} {first[1]} and "
                    f"{theirs[name]!r} at {second[0].name} {second[1]}",
                    (first[1], second[1]),
                )


def every_record_is_everywhere(evidence: Evidence) -> Found:
    """Each record has a counterpart on every side, or a reason that was told."""
    states = {(link.connection_id, link.external_id): link for link in evidence.links}
    hubs = evidence.hubs()
    ended = {
        link.internal_id for link in evidence.links if link.state in ("gone", "merged", "detached")
    }
    told = {error.external_id for error in evidence.errors}
    # What a merge made of another person's record waits for somebody to say whose it is.
    doubted = {
        one.entity_id
        for one in evidence.conflicts
        if one.kind == "identity" and one.status == "pending-review"
    }
    for side, id in evidence.live:
        link = states.get((evidence.sides[side].connection_id, id))
        where = f"{evidence.sides[side].name} {id}"
        if link is None:
            yield f"{where} was never noticed", (id,)
            continue
        if link.state == "quarantined":
            yield f"{where} is in quarantine", (id,)
        if link.state == "gone":
            yield f"{where} counts as deleted and is there", (id,)
        if link.state != "active" or id in told or link.internal_id in ended | doubted:
            continue
        fellows = [one for one in evidence.sides if one.tenant == evidence.sides[side].tenant]
        if len(hubs.get(link.internal_id or "", {})) < len(fellows):
            yield f"{where} has no counterpart on another side", (id,)


def deletes_arrive(evidence: Evidence) -> Found:
    """Where deletes propagate, what is linked as live is live."""
    for internal_id, sides in evidence.hubs().items():
        for side, links in sides.items():
            for link in links:
                if (side, link.external_id) not in evidence.live and not (
                    evidence.is_deaf(side) or evidence.is_untold(side, link.external_id)
                ):
                    name = evidence.sides[side].name
                    yield (
                        f"{internal_id} is linked to {name} {link.external_id}, which is gone",
                        (link.external_id,),
                    )


def one_record_per_person(evidence: Evidence) -> Found:
    """The app makes no second record of anybody, and none of nobody."""
    links = {(link.connection_id, link.external_id): link for link in evidence.links}
    origin: dict[str, bool] = {}
    positions = evidence.positions()
    for link in evidence.links:
        if link.internal_id:
            by_people = (positions[link.connection_id], link.external_id) in evidence.people.made
            origin[link.internal_id] = origin.get(link.internal_id, False) or by_people
    for side, id in evidence.live:
        if (side, id) in evidence.people.made:
            continue
        found = links.get((evidence.sides[side].connection_id, id))
        where = f"{evidence.sides[side].name} {id}, which the app made,"
        if found is None or found.internal_id is None:
            yield f"{where} belongs to nobody", (id,)
        elif not origin[found.internal_id] and found.internal_id not in evidence.touched():
            yield f"{where} is of a person whom no person made", (id,)
    for internal_id, sides in evidence.hubs().items():
        for links_here in sides.values():
            if len(links_here) > 1:
                ids = tuple(link.external_id for link in links_here)
                yield f"{internal_id} is linked to {', '.join(ids)} on one side", ids


def no_edit_is_lost(evidence: Evidence) -> Found:
    """A field that was edited on one side alone holds that edit everywhere."""
    for internal_id, field, entries in _edited(evidence):
        last = entries[-1]
        # A field that waits for a person keeps its values until that person has decided.
        if len({entry.side for entry in entries}) > 1 or field in evidence.frozen(internal_id):
            continue
        # Of records made apart, the other side's value is as much a person's as the edit is.
        if evidence.precedes_meeting(internal_id, last) and (
            same(field, last.value, None) or _is_told(evidence, internal_id, field)
        ):
            continue
        for name, id, value in _held(evidence, internal_id, field):
            if not same(field, value, last.value) and not evidence.is_overtaken(last):
                yield (
                    f"{field} was set to {last.value!r} at "
                    f"{evidence.sides[last.side].name} {last.id} alone; {name} {id} holds "
                    f"{value!r}",
                    (last.id, id),
                )


def no_value_is_blanked(evidence: Evidence) -> Found:
    """What one side holds and another lacks when they first meet is kept."""
    edited = {(internal_id, field) for internal_id, field, _ in _edited(evidence)}
    for internal_id, sides in evidence.hubs().items():
        first = [
            evidence.people.first[side, link.external_id]
            for side, links in sides.items()
            for link in links
            if (side, link.external_id) in evidence.people.first
        ]
        if internal_id in evidence.touched():
            continue
        for field in sorted({name for values in first for name in values}):
            held = [value for _, _, value in _held(evidence, internal_id, field)]
            had = [values[field] for values in first if not same(field, values.get(field), None)]
            blank = held and all(same(field, value, None) for value in held)
            if had and blank and (internal_id, field) not in edited:
                yield f"{field} of {internal_id} was {had!r} and is blank", ()


def no_conflict_is_silent(evidence: Evidence) -> Found:
    """Of two values that people gave one field, the one that is lost is in a conflict."""
    for internal_id, field, entries in _edited(evidence):
        last = entries[-1]
        if len({entry.side for entry in entries}) < 2 or _is_told(evidence, internal_id, field):
            continue
        if same(field, last.value, None) and evidence.precedes_meeting(internal_id, last):
            continue  # a blank that the link filled
        for name, id, value in _held(evidence, internal_id, field):
            if not same(field, value, last.value) and not evidence.is_overtaken(last):
                yield (
                    f"{field} was last set to {last.value!r} at {last.id}; {name} {id} holds "
                    f"{value!r} and no conflict says why",
                    (last.id, id),
                )


def waiting_fields_rest(evidence: Evidence) -> Found:
    """A field that waits for a person holds, on each side, what people gave it there."""
    waiting = {
        (link.connection_id, link.external_id, field)
        for link in evidence.links
        for field in link.frozen
    }
    last: dict[tuple[int, str, str], Entry] = {}
    for entry in evidence.people.entries:
        last[entry.side, entry.id, entry.field] = entry
    for (side, id, field), entry in last.items():
        where, record = evidence.sides[side], evidence.live.get((side, id))
        if record is None or (where.connection_id, id, field) not in waiting:
            continue
        value = where.values(record).get(field)
        if not same(field, value, entry.value):
            yield (
                f"{field} of {where.name} {id} waits for a person and was {entry.value!r}; "
                f"now it is {value!r}",
                (id,),
            )


def the_later_wins(evidence: Evidence) -> Found:
    """Of two edits of one field within seconds, the policy's choice stands."""
    for internal_id, field, entries in _edited(evidence):
        duel = [entry for entry in entries if entry.duel is not None]
        if len(entries) != 2 or len(duel) != 2 or duel[0].duel != duel[1].duel:
            continue
        earlier, later = sorted(duel, key=lambda entry: entry.true_s)
        # Clocks that differ may turn the order round, which no policy can know.
        if (later.at - earlier.at).total_seconds() < _LEEWAY_S or same(
            field, earlier.value, later.value
        ):
            continue
        if _others_near(evidence, internal_id, earlier) or evidence.is_overtaken(later):
            continue
        pending = field in evidence.frozen(internal_id)
        values = [value for _, _, value in _held(evidence, internal_id, field)]
        if evidence.world.policy == "manual-review" and not pending:
            told = _is_told(evidence, internal_id, field)
            if not told and not all(same(field, value, later.value) for value in values):
                yield f"{field} of {internal_id} was decided without review", (later.id,)
        elif evidence.world.policy == "last-write-wins" and not all(
            same(field, value, later.value) for value in values
        ):
            yield (
                f"{field} was set to {earlier.value!r} and later to {later.value!r}; "
                f"what stands is {values!r}",
                (earlier.id, later.id),
            )


def conflicts_are_decided(evidence: Evidence) -> Found:
    """Every conflict has a winner or waits for a person."""
    for one in evidence.conflicts:
        if one.kind == "field" and one.status == "resolved" and not one.winner:
            yield f"conflict {one.id} of {one.field} has neither a winner nor a reviewer", ()


INVARIANTS: tuple[Callable[[Evidence], Found], ...] = (
    everything_settles,
    sides_agree,
    every_record_is_everywhere,
    deletes_arrive,
    one_record_per_person,
    no_edit_is_lost,
    no_value_is_blanked,
    no_conflict_is_silent,
    waiting_fields_rest,
    the_later_wins,
    conflicts_are_decided,
    writes_stop,
    calls_are_bounded,
    accepted_webhooks_count,
    effects_happen_once,
    recorded_steps_rest,
    limits_hold,
    quotas_are_used,
    tenants_stay_apart,
    secrets_stay_secret,
    *WORKFLOW_INVARIANTS,
    *TOKEN_INVARIANTS,
)


def check(evidence: Evidence) -> list[Violation]:
    """Return every violation."""
    return [
        Violation(invariant.__name__.replace("_", " "), what, about)
        for invariant in INVARIANTS
        for what, about in invariant(evidence)
    ]


def _edited(evidence: Evidence) -> Iterator[tuple[str, str, list[Entry]]]:
    """Yield our id, a field and the edits of it, of the people whom nobody merged or deleted."""
    owner = {
        (side, link.external_id): internal_id
        for internal_id, sides in evidence.hubs().items()
        for side, links in sides.items()
        for link in links
    }
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in evidence.people.entries:
        internal_id = owner.get((entry.side, entry.id))
        if internal_id is not None and internal_id not in evidence.touched():
            found.setdefault((internal_id, entry.field), []).append(entry)
    for (internal_id, field), entries in found.items():
        yield internal_id, field, entries


def _is_told(evidence: Evidence, internal_id: str, field: str) -> bool:
    """Return whether there is a conflict of that field."""
    return any(
        one.entity_id == internal_id and one.field == field and one.kind == "field"
        for one in evidence.conflicts
    )


def _held(evidence: Evidence, internal_id: str, field: str) -> list[tuple[str, str, Any]]:
    held: list[tuple[str, str, Any]] = []
    for position, links in evidence.hubs().get(internal_id, {}).items():
        side = evidence.sides[position]
        for link in links:
            record = evidence.live.get((position, link.external_id))
            if record is not None:
                held.append((side.name, link.external_id, side.values(record).get(field)))
    return held


def _others_near(evidence: Evidence, internal_id: str, duel: Entry) -> bool:
    """Return whether somebody edited another field of that person at about the same time."""
    owners = {
        (side, link.external_id)
        for side, links in evidence.hubs().get(internal_id, {}).items()
        for link in links
    }
    window = 2 * evidence.world.poll_interval_s + 3600
    return (
        Counter(
            abs((entry.at - duel.at).total_seconds()) < window
            for entry in evidence.people.entries
            if (entry.side, entry.id) in owners
        )[True]
        > 2
    )
