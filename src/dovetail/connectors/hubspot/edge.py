"""Which associations of HubSpot's objects are told as fields, and by which types they are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from dovetail.connector_sdk.record import Write
from dovetail.connector_sdk.spec import OWNERS, Reference

_PREFIX = "associations."
_OWNER = "hubspot_owner_id"


@dataclass(frozen=True, slots=True)
class Edge:
    """
    One kind of association, in the direction in which it is read and written.

    Attributes:
        to: The resource at its other end.
        ours: Our field.
        type_id: The type that is set. A primary one sets the type without a label too.
        is_primary: Whether one of several can be the primary one, which is then the one that
            counts.
    """

    to: str
    ours: str
    type_id: int
    is_primary: bool = False

    @property
    def field(self) -> str:
        """Its name among the fields of a record."""
        return f"{_PREFIX}{self.to}"


EDGES: Mapping[str, tuple[Edge, ...]] = {
    "contacts": (Edge("companies", "company_id", 1, is_primary=True),),
    "deals": (
        Edge("companies", "company_id", 5, is_primary=True),
        Edge("contacts", "contact_id", 3),
    ),
    "tickets": (
        Edge("companies", "company_id", 26, is_primary=True),
        Edge("contacts", "contact_id", 16),
    ),
}
"""By the name of the resource that they begin at."""


def references_of(resource: str) -> Mapping[str, Reference]:
    """Return the fields of a resource that hold the id of another record."""
    found = {edge.field: Reference(edge.ours, edge.to) for edge in EDGES.get(resource, ())}
    return found | {
        _OWNER: Reference("assignee_id" if resource == "tickets" else "owner_id", OWNERS)
    }


def edges_among(resource: str, fields: Iterable[str]) -> list[Edge]:
    """Return the associations among the fields of a resource."""
    wanted = set(fields)
    return [edge for edge in EDGES.get(resource, ()) if edge.field in wanted]


def without_edges(fields: Iterable[str]) -> list[str]:
    """Return the fields that are properties."""
    return [name for name in fields if not name.startswith(_PREFIX)]


def properties_alone(write: Write) -> Write:
    """Return a write without its associations."""
    fields = {name: write.fields[name] for name in without_edges(write.fields)}
    return msgspec.structs.replace(write, fields=fields)
