"""What a link between two records does: checked first, then made, then told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dovetail.simulator_sdk.record import Record
from dovetail.simulator_sdk.refusal import RefusedError
from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.association import AssociationType, Links
from dovetail.simulators.hubspot.catalog import OBJECT_TYPES, ObjectType
from dovetail.simulators.hubspot.store import Change, ObjectStore

if TYPE_CHECKING:
    from dovetail.simulators.hubspot.simulator import HubSpotSimulator


class Wanted(NamedTuple):
    """A link to make from a record that may not exist yet."""

    target: ObjectType
    id: str
    types: list[AssociationType]


class Linker:
    """Makes and removes the links of one portal."""

    def __init__(self, simulator: HubSpotSimulator) -> None:
        self._simulator = simulator

    @property
    def _store(self) -> ObjectStore:
        return self._simulator.store

    def read_wanted(self, kind: ObjectType, described: Any) -> list[Wanted]:
        """
        Return the links in the body of a create.

        Raises:
            RefusedError: They are not described well, or lead nowhere.
        """
        wanted = []
        for each in _objects(described or [], "associations"):
            types = _objects(each.get("types"), "types")
            target, chosen = self._target_of(kind, types)
            id = id_in(each.get("to"), "to")
            wanted.append(Wanted(target, self.live(target, id).id, chosen))
        return wanted

    def read_types(
        self, kind: ObjectType, target: ObjectType, described: Any
    ) -> list[AssociationType]:
        """Return the types of a list of category and id; an empty list is refused."""
        chosen = [
            self._store.links.type(
                kind.name, target.name, each.get("associationCategory"), type_id_in(each)
            )
            for each in _objects(described, "types")
        ]
        if not chosen:
            raise refusal.invalid("Some required fields were not set: [types]")
        return chosen

    def live(self, kind: ObjectType, id: str) -> Record:
        """
        Return the record at an end of a link.

        Raises:
            RefusedError: It does not exist.
        """
        record = self._store.resolve(kind, id)
        if record is None:
            noun = kind.singular.upper()
            raise refusal.invalid(
                f"{noun}={id} is not valid",
                subCategory="crm.associations.INVALID_OBJECT_IDS",
                context={noun: [id]},
            )
        return record

    def link(self, kind: ObjectType, record: Record, wanted: Iterable[Wanted]) -> None:
        """Make links of a record."""
        for target, id, types in wanted:
            if self._store.links.link(record.id, id, types):
                self._tell(kind, record.id, target, id, removed=False)

    def unlink(
        self,
        kind: ObjectType,
        id: str,
        target: ObjectType,
        other: str,
        types: Sequence[AssociationType] | None = None,
    ) -> None:
        """Take types off a link, or remove it; one that is not there is no error."""
        near, far = self._store.resolve(kind, id), self._store.resolve(target, other)
        if near is None or far is None:
            return
        if self._store.links.unlink(kind.name, near.id, target.name, far.id, types):
            self._tell(kind, near.id, target, far.id, removed=True)

    def of(self, kind: ObjectType, record: Record, target: ObjectType) -> Links:
        """Return the links of a record to living records, in the order of their ids."""
        table = self._store.tables[target.name]
        links = self._store.links.links(kind.name, record.id, target.name)
        living = [id for id in links if table.live(id) is not None]
        return {id: links[id] for id in sorted(living, key=int)}

    def _target_of(
        self, kind: ObjectType, described: list[dict[str, Any]]
    ) -> tuple[ObjectType, list[AssociationType]]:
        """Return where types lead: a create does not say the type of the other record."""
        for target in OBJECT_TYPES.values():
            try:
                return target, self.read_types(kind, target, described)
            except RefusedError:
                continue
        raise refusal.invalid(f"{described} is no association type of {kind.name}")

    def _tell(
        self, kind: ObjectType, id: str, target: ObjectType, other: str, *, removed: bool
    ) -> None:
        at = self._simulator.now()
        for source, near, sink, far in ((kind, id, target, other), (target, other, kind, id)):
            record = self._store.tables[source.name].live(near)
            if record is None:
                continue
            types = self._store.links.links(source.name, near, sink.name).get(far, {})
            known = self._store.links.types(source.name, sink.name)
            facts = {
                "associationType": f"{source.singular}_TO_{sink.singular}".upper(),
                "fromObjectId": int(near),
                "toObjectId": int(far),
                "associationRemoved": removed,
                "isPrimaryAssociation": any(known[each].label == "Primary" for each in types),
            }
            change = Change(source, "associationChange", record, at, "INTEGRATION", facts)
            self._simulator.tell(change)


def id_in(described: Any, key: str) -> str:
    """Return the id of ``{"id": "1"}``, which may be a JSON number."""
    id = described.get("id") if isinstance(described, dict) else None
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        raise refusal.invalid(f"Some required fields were not set: [{key}.id]")
    return str(id)


def type_id_in(described: dict[str, Any]) -> Any:
    """Return the type id, which clients may send as text."""
    id = described.get("associationTypeId")
    return int(id) if isinstance(id, str) and id.isdecimal() and len(id) < 10 else id


def _objects(described: Any, key: str) -> list[dict[str, Any]]:
    if not isinstance(described, list) or not all(isinstance(each, dict) for each in described):
        raise refusal.invalid(f"Invalid input JSON: {key} is an array of objects")
    return described
