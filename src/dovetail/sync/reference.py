"""
References between records: their ids at the platforms' edge, our ids everywhere else.

A reference whose target is not linked yet holds nothing up: the record goes without it, and a row
waits for the target::

    theirs: shown there, not linked   -> the field is not told; later ``sync.refer`` settles it
    ours:   held here, not made there -> written without;       later ``sync.push`` writes it

The row goes in the transaction that links the target, together with the event that follows from
it: once, whatever crashes. An edge that is gone there waits in the same way until its target was
looked at: one that is gone with its target ends nothing here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from dovetail.runtime.log import EventDraft
from dovetail.runtime.store.port import Tx, once_per_database
from dovetail.runtime.store.schema import records
from dovetail.sync.draft import changed_draft, push_draft, push_key, refer_draft
from dovetail.sync.hub import Hub
from dovetail.sync.link import ACTIVE, GONE, MERGED, QUARANTINED, Link
from dovetail.sync.plan import Plans, SpokePlan, SyncPlan
from dovetail.sync.schema import sync_links, sync_references

THEIRS = "theirs"
OURS = "ours"

_NOTHING = ""
"""What a link awaits that shows nothing: whether its old target is still there."""

_MOST = 500
_MERGES = 8

_Target = tuple[str, str, str]
"""Connection, entity and id of a record that is pointed to."""


@dataclass(slots=True)
class Told:
    """
    What a record shows of its references.

    `values` is our field -> our id (None: points to nothing); `awaited` is our field -> their id of
    a target that is not linked yet. `doubted` is our field -> their id of a target that the record
    pointed to until now: perhaps it was deleted, and is looked at first. `kept`: fields that point
    to nothing there because their target has ended.
    """

    values: dict[str, str | None] = field(default_factory=dict)
    awaited: dict[str, str] = field(default_factory=dict)
    doubted: dict[str, str] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)


class References:
    """Translates the references of one entity's records, in one transaction."""

    def __init__(self, tx: Tx, plans: Plans, plan: SyncPlan, entity: str) -> None:
        self._tx = tx
        self._plans = plans
        self._plan = plan
        self._entity = entity
        self._by_theirs: dict[_Target, Any] = {}
        self._by_ours: dict[_Target, Any] = {}
        self._waits: dict[tuple[str, ...], None] = {}
        self._linked: list[Link] = []
        self._ended: list[tuple[str, str]] = []
        self._doubts: dict[_Target, None] = {}

    def load_theirs(self, spoke: SpokePlan, shown: Iterable[Mapping[str, Any]]) -> None:
        """Look up what some records of a platform, given as their fields, point to."""
        wanted: dict[str, list[str]] = {}
        for fields in shown:
            for their_name, _, target in spoke.pointers:
                wanted.setdefault(target, []).extend(_ids(fields.get(their_name)))
        for target, ids in wanted.items():
            self._find_theirs(spoke.connection_id, target, ids)

    def load_ours(self, spoke: SpokePlan, hubs: Iterable[Hub]) -> None:
        """Look up where what some records of ours point to is on a platform."""
        held = list(hubs)
        for name, target in spoke.references.items():
            ids = [value for hub in held if isinstance(value := hub.value(name), str)]
            self._find_ours(spoke.connection_id, target, ids)

    def told(
        self,
        spoke: SpokePlan,
        fields: Mapping[str, Any],
        held: Mapping[str, Sequence[Any]],
        *,
        lasting: Collection[str] = (),
    ) -> Told:
        """
        Return what a platform's record shows of its references.

        Args:
            spoke: Whose record it is.
            fields: As told.
            held: Our field -> our ids, the one that counts most first. Of several edges, the one
                that is held is taken; the first of these is what both sides last agreed on.
            lasting: Our fields on which both sides agree, so that nothing shown there would be
                a loss here.
        """
        told = Told()
        for their_name, name, target in spoke.pointers:
            if their_name not in fields:
                continue
            ids, mine = _ids(fields[their_name]), held.get(name, ())
            if not ids:
                self._tell_none(spoke, told, name, mine[0] if mine else None, name in lasting)
                continue
            ours = [self._ours(spoke.connection_id, target, id) for id in ids]
            known = next((id for id in mine if id is not None and id in ours), ours[0])
            if known is not None:
                told.values[name] = known
            else:
                told.awaited[name] = ids[0]
        return told

    def _tell_none(
        self, spoke: SpokePlan, told: Told, name: str, before: Any, is_lasting: bool
    ) -> None:
        """
        Tell that a record points to nothing.

        A platform that deletes a record takes the edges to it along, and often shows that first.
        """
        target = spoke.references[name]
        row = self._row_of_ours(spoke.connection_id, target, before) if before else None
        if row is not None and row.state == GONE and self._lives(target, before):
            told.kept.add(name)
        elif row is not None and row.state == ACTIVE and is_lasting and self._plan.reads(spoke):
            told.doubted[name] = row.external_id
        else:
            told.values[name] = None

    def note(self, spoke: SpokePlan, link: Link, told: Told) -> None:
        """Remember on a link what it waits for, now that it was told."""
        waits = [(name, id, id) for name, id in told.awaited.items()]
        waits += [(name, id, _NOTHING) for name, id in told.doubted.items()]
        if not self._plan.reads(spoke):
            waits = []
        names = {name for name, _, _ in waits}
        for name in {*told.values, *told.awaited, *told.kept} - names:
            if link.awaited.pop(name, None) is not None:
                link.is_changed = True
        for name, target_id, shown in waits:
            link.is_changed = link.is_changed or link.awaited.get(name) != shown
            link.awaited[name] = shown
            target = spoke.references[name]
            row = (link.connection_id, target, THEIRS, target_id, self._entity, link.external_id)
            self._waits[row] = None
            if shown == _NOTHING:
                self._doubts[link.connection_id, target, target_id] = None

    def settled(self, spoke: SpokePlan, link: Link) -> dict[str, str | None]:
        """Return the references that a link waited for and that can be told now."""
        held = {name: [link.base.get(name)] for _, name, _ in spoke.pointers}
        told = self.told(spoke, awaited(spoke, link), held)
        self.note(spoke, link, told)
        return told.values

    def sendable(
        self, spoke: SpokePlan, internal_id: str, wanted: dict[str, Any]
    ) -> dict[str, Any]:
        """Return *wanted* without the references whose target is not there yet; they wait."""
        kept = dict(wanted)
        for name, target in spoke.references.items():
            our_id = wanted.get(name)
            if our_id is None or self._theirs(spoke.connection_id, target, our_id) is not None:
                continue
            del kept[name]
            row = (spoke.connection_id, target, OURS, our_id, self._entity, internal_id)
            self._waits[row] = None
        return kept

    def outbound(self, spoke: SpokePlan, ours: Mapping[str, Any]) -> dict[str, Any]:
        """Return our values under the platform's names, references as its own ids."""
        told: dict[str, Any] = {}
        for their_name, name in spoke.fields.items():
            if name not in ours:
                continue
            value, target = ours[name], spoke.references.get(name)
            if target is not None and value is not None:
                value = self._theirs(spoke.connection_id, target, value)
                if value is None:
                    continue
            told[their_name] = value
        return told

    def replaced(self, spoke: SpokePlan, link: Link, names: Iterable[str]) -> dict[str, str]:
        """Return their field -> the id that both sides last agreed on."""
        wanted, found = set(names), {}
        for their_name, name, target in spoke.pointers:
            before = link.base.get(name)
            if name in wanted and before is not None:
                row = self._row_of_ours(spoke.connection_id, target, before)
                if row is not None:
                    found[their_name] = row.external_id
        return found

    def linked(self, link: Link) -> None:
        """Note that a record is there, and linked."""
        if self._entity in self._plan.referred:
            self._linked.append(link)

    def ended(self, connection_id: str, external_id: str) -> None:
        """Note that a record was deleted, or merged: whoever shows it is asked again."""
        if self._entity in self._plan.referred:
            self._ended.append((connection_id, external_id))

    def save(self) -> list[EventDraft]:
        """Write what waits, and return the events of what need not wait any more."""
        names = sync_references.c.keys()
        self._tx.run(_wait(self._tx), [dict(zip(names, row, strict=True)) for row in self._waits])
        self._waits = {}
        drafts = [*self._told_drafts(), *self._push_drafts(), *self._changed_drafts()]
        self._linked, self._ended, self._doubts = [], [], {}
        return list({(one.type, one.key): one for one in drafts}.values())

    def _told_drafts(self) -> Iterator[EventDraft]:
        shown = [(one.connection_id, one.external_id) for one in self._linked]
        for row in self._released(THEIRS, shown):
            yield refer_draft(row.connection_id, row.entity, row.record_id, self._plan.business_id)

    def _push_drafts(self) -> Iterator[EventDraft]:
        held = [(one.connection_id, one.internal_id) for one in self._linked if one.internal_id]
        for row in self._released(OURS, held):
            key = push_key(row.connection_id, row.entity, row.record_id)
            yield push_draft(key, self._plan.business_id)

    def _changed_drafts(self) -> Iterator[EventDraft]:
        ended = self._released(THEIRS, self._ended)
        records = [(row.connection_id, row.entity, row.record_id) for row in ended]
        for connection_id, entity, id in [*records, *self._doubts]:
            route = self._plans.spoke(connection_id, entity)
            if route is not None:
                yield changed_draft(route.at, id, self._plan.business_id)

    def _released(self, side: str, targets: Iterable[tuple[str, str]]) -> list[Any]:
        """Take the rows that waited for these out of the table."""
        by_connection: dict[str, dict[str, None]] = {}
        for connection_id, id in targets:
            by_connection.setdefault(connection_id, {})[id] = None
        found: list[Any] = []
        for connection_id, ids in by_connection.items():
            for some in _some(list(ids)):
                table = sync_references.c
                where = (
                    table.connection_id == connection_id,
                    table.target_entity == self._entity,
                    table.side == side,
                    table.target_id.in_(some),
                )
                rows = self._tx.rows(sa.select(sync_references).where(*where))
                if rows:
                    self._tx.run(sa.delete(sync_references).where(*where))
                found += rows
        return found

    def _ours(self, connection_id: str, target: str, their_id: str) -> str | None:
        """Return the record of ours that a platform's record is, also of one that was merged."""
        for _ in range(_MERGES):
            self._find_theirs(connection_id, target, [their_id])
            row = self._by_theirs[connection_id, target, their_id]
            if row is not None and row.state == MERGED and row.merged_into:
                their_id = row.merged_into
                continue
            known = row is not None and row.state in (ACTIVE, GONE, QUARANTINED)
            return row.internal_id if known else None
        return None

    def _theirs(self, connection_id: str, target: str, our_id: str) -> str | None:
        row = self._row_of_ours(connection_id, target, our_id)
        there = row is not None and row.state in (ACTIVE, QUARANTINED)
        return row.external_id if there else None

    def _row_of_ours(self, connection_id: str, target: str, our_id: str) -> Any:
        self._find_ours(connection_id, target, [our_id])
        return self._by_ours[connection_id, target, our_id]

    def _lives(self, entity: str, our_id: str) -> bool:
        query = sa.select(records.c.id).where(
            records.c.id == our_id,
            records.c.entity == entity,
            records.c.business_id == self._plan.business_id,
        )
        return bool(self._tx.rows(query))

    def _find_theirs(self, connection_id: str, target: str, ids: Sequence[str]) -> None:
        found = self._by_theirs
        missing = [id for id in dict.fromkeys(ids) if (connection_id, target, id) not in found]
        found |= {(connection_id, target, id): None for id in missing}
        for some in _some(missing):
            for row in self._rows(connection_id, target, sync_links.c.external_id.in_(some)):
                found[connection_id, target, row.external_id] = row

    def _find_ours(self, connection_id: str, target: str, ids: Sequence[str]) -> None:
        found = self._by_ours
        missing = [id for id in dict.fromkeys(ids) if (connection_id, target, id) not in found]
        found |= {(connection_id, target, id): None for id in missing}
        for some in _some(missing):
            for row in self._rows(connection_id, target, sync_links.c.internal_id.in_(some)):
                key = (connection_id, target, row.internal_id)
                if found[key] is None or row.state == ACTIVE:
                    found[key] = row

    def _rows(self, connection_id: str, target: str, wanted: Any) -> Sequence[Any]:
        table = sync_links.c
        columns = (table.external_id, table.internal_id, table.state, table.merged_into)
        return self._tx.rows(
            sa.select(*columns).where(
                table.connection_id == connection_id, table.entity == target, wanted
            )
        )


def awaited(spoke: SpokePlan, link: Link) -> dict[str, str]:
    """Return their field -> what a link waits for."""
    return {their: link.awaited[name] for their, name, _ in spoke.pointers if name in link.awaited}


def _ids(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    return [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)]


@once_per_database
def _wait(tx: Tx) -> sa.Executable:
    return tx.insert(sync_references).on_conflict_do_nothing()


def _some(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _MOST] for start in range(0, len(ids), _MOST)]
