"""
Links between records: which types there are between two object types, and who is linked to whom.

A link has one type or more and is seen from both ends, where its types have other ids. Any label
(being the primary company is one) brings the unlabelled type along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import OBJECT_TYPES

NATIVE, OWN = "HUBSPOT_DEFINED", "USER_DEFINED"
PRIMARY = "Primary"
_FIRST_OWN_ID = 35

# from, to, type id, type id seen from the other end, whether it means "primary"
_NATIVE_TYPES = (
    ("contacts", "companies", 279, 280, False),
    ("contacts", "companies", 1, 2, True),
    ("deals", "contacts", 3, 4, False),
    ("deals", "companies", 341, 342, False),
    ("deals", "companies", 5, 6, True),
    ("tickets", "contacts", 16, 15, False),
    ("tickets", "companies", 339, 340, False),
    ("tickets", "companies", 26, 25, True),
    ("deals", "tickets", 27, 28, False),
)

Links = dict[str, dict[int, None]]
"""By the id at the other end: the ids of the types, as insertion-ordered sets."""


@dataclass(frozen=True, slots=True)
class AssociationType:
    """One type of link in one direction; `exclusive` allows one such link for a record."""

    category: str
    id: int
    inverse: int
    source: str
    target: str
    label: str | None = None
    exclusive: bool = False

    @property
    def noun(self) -> str:
        """Return the name that older endpoints use: ``contact_to_company``."""
        pair = f"{OBJECT_TYPES[self.source].singular}_to_{OBJECT_TYPES[self.target].singular}"
        if self.category == OWN:
            return f"{(self.label or '').lower().replace(' ', '_')}_{pair}"
        has_primary = "companies" in (self.source, self.target)
        return f"{pair}_unlabeled" if has_primary and self.label is None else pair

    def to_record(self) -> dict[str, object]:
        """Return the type as readers of links see it."""
        return {"category": self.category, "typeId": self.id, "label": self.label}


class AssociationStore:
    """The links of one portal. Ids that come in belong to records that exist."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], dict[int, AssociationType]] = {}
        self._links: dict[tuple[str, str, str], Links] = {}
        self._next_own_id = _FIRST_OWN_ID
        for source, target, id, inverse, is_primary in _NATIVE_TYPES:
            label = PRIMARY if is_primary else None
            self._define(
                AssociationType(NATIVE, id, inverse, source, target, label, is_primary),
                AssociationType(NATIVE, inverse, id, target, source, label),
            )

    # Types

    def types(self, source: str, target: str) -> Mapping[int, AssociationType]:
        """
        Return the types between two object types, by id.

        Raises:
            RefusedError: These cannot be linked.
        """
        found = self._types.get((source, target))
        if found is None:
            raise refusal.invalid(f"No association types exist between {source} and {target}")
        return found

    def type(self, source: str, target: str, category: object, id: object) -> AssociationType:
        """
        Return the type of this category and id in this direction.

        Raises:
            RefusedError: There is none: an id of the other direction, for example.
        """
        found = self.types(source, target).get(id) if type(id) is int else None
        if found is None or found.category != category:
            from_id, to_id = OBJECT_TYPES[source].type_id, OBJECT_TYPES[target].type_id
            raise refusal.invalid(
                f"Association type {category}-{id} is not valid between {from_id} and {to_id}"
            )
        return found

    def unlabelled(self, source: str, target: str) -> AssociationType:
        """Return the type without a label, which every link has."""
        return next(each for each in self.types(source, target).values() if each.label is None)

    def add_label(
        self, source: str, target: str, label: str, inverse: str | None
    ) -> list[AssociationType]:
        """Define a label of one's own, with another one seen from the other end if need be."""
        self.types(source, target)
        forward, backward = self._next_own_id, self._next_own_id + 1
        self._next_own_id += 2
        return self._define(
            AssociationType(OWN, forward, backward, source, target, label),
            AssociationType(OWN, backward, forward, target, source, inverse or label),
        )

    def rename(self, found: AssociationType, label: str, inverse: str | None) -> None:
        """Change the label of a type of one's own, and that of the other end if one is given."""
        back = self._types[found.target, found.source][found.inverse]
        self._define(replace(found, label=label), replace(back, label=inverse or back.label))

    def remove(self, found: AssociationType) -> None:
        """Forget a type of one's own, and take it off all links."""
        ends = ((found.source, found.target, found.id), (found.target, found.source, found.inverse))
        for source, target, id in ends:
            self._types[source, target].pop(id, None)
            for (its_source, _, its_target), links in self._links.items():
                if (its_source, its_target) == (source, target):
                    for types in links.values():
                        types.pop(id, None)

    # Links

    def links(self, source: str, id: str, target: str) -> Links:
        """Return the links of a record to records of a type; not to be changed."""
        return self._links.get((source, id, target), {})

    def link(self, id: str, other: str, wanted: Iterable[AssociationType]) -> bool:
        """Link two records by these types of one direction; return whether that is new."""
        first, *more = wanted
        source, target = first.source, first.target
        is_new = other not in self.links(source, id, target)
        for each in (self.unlabelled(source, target), first, *more):
            if each.exclusive:
                for far in self.links(source, id, target):
                    self._take(source, id, target, far, each)
            self._links.setdefault((source, id, target), {}).setdefault(other, {})[each.id] = None
            back = self._links.setdefault((target, other, source), {}).setdefault(id, {})
            back[each.inverse] = None
        return is_new

    def unlink(
        self,
        source: str,
        id: str,
        target: str,
        other: str,
        wanted: Iterable[AssociationType] | None = None,
    ) -> bool:
        """Take types (all of them when None) off a link; return whether it is gone by that."""
        present = self.links(source, id, target).get(other)
        if present is None:
            return False
        types = self.types(source, target)
        for each in list(wanted) if wanted is not None else [types[each] for each in present]:
            self._take(source, id, target, other, each)
        if self._links[source, id, target][other]:
            return False
        del self._links[source, id, target][other]
        self._links[target, other, source].pop(id, None)
        return True

    def move(self, kind: str, old: str, new: str) -> None:
        """Give the links of a record to another one; what is exclusive there stays as it is."""
        for target in OBJECT_TYPES:
            for other, types in list(self.links(kind, old, target).items()):
                known = self.types(kind, target)
                taken = {
                    type_id for ids in self.links(kind, new, target).values() for type_id in ids
                }
                kept = [known[id] for id in types if not (known[id].exclusive and id in taken)]
                self.unlink(kind, old, target, other)
                self.link(new, other, kept or [self.unlabelled(kind, target)])

    def drop(self, kind: str, id: str) -> None:
        """Forget every link of a record."""
        for target in OBJECT_TYPES:
            for other in list(self.links(kind, id, target)):
                self.unlink(kind, id, target, other)

    def _define(self, forward: AssociationType, backward: AssociationType) -> list[AssociationType]:
        for each in (forward, backward):
            self._types.setdefault((each.source, each.target), {})[each.id] = each
        return [forward, backward]

    def _take(self, source: str, id: str, target: str, other: str, each: AssociationType) -> None:
        self._links.get((source, id, target), {}).get(other, {}).pop(each.id, None)
        self._links.get((target, other, source), {}).get(id, {}).pop(each.inverse, None)
