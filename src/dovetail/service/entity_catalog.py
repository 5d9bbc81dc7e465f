"""The entities that a declaration may name, and the fields that a mapping may point to."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from dovetail.model.commerce import Customer, Fulfillment, InventoryLevel, Order, Product
from dovetail.model.crm import Company, Contact, Deal, Owner, Ticket
from dovetail.model.entity import Entity, fields_of, wire_name
from dovetail.model.payment import AccountingEntry, Invoice, Payment, Refund, Subscription
from dovetail.model.social import Post
from dovetail.service.spelling import snake_case

ENTITIES: tuple[type[Entity], ...] = (
    Contact,
    Company,
    Deal,
    Ticket,
    Owner,
    Order,
    Product,
    Customer,
    InventoryLevel,
    Fulfillment,
    Payment,
    Refund,
    Subscription,
    Invoice,
    AccountingEntry,
    Post,
)

# The runtime keeps these itself. A mapping is read both ways, so a platform's value must not
# reach them: a record's tenant and version are never the platform's to say.
_SYSTEM_FIELDS = frozenset(fields_of(Entity))


def singular(entity: type[Entity]) -> str:
    """Return the name of one of them: ``contact``."""
    return wire_name(entity)


def plural(entity: type[Entity]) -> str:
    """Return the name of many of them, as resources are called: ``companies``."""
    name = wire_name(entity)
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


_BY_NAME = {name(entity): entity for entity in ENTITIES for name in (singular, plural)}
ENTITY_NAMES: tuple[str, ...] = tuple(plural(entity) for entity in ENTITIES)
"""The plural of each entity, in the order that help texts show them."""


def find_entity(name: str) -> type[Entity] | None:
    """Return the entity called *name*: singular or plural, snake_case or camelCase."""
    return _BY_NAME.get(snake_case(name))


def mappable_fields(entity: type[Entity]) -> tuple[str, ...]:
    """Return the fields that a mapping may point to; ``custom.`` and a name comes on top."""
    return tuple(name for name in fields_of(entity) if name not in _SYSTEM_FIELDS)


def resolve_field(entity: type[Entity], name: str) -> str | None:
    """
    Return *name* as the entity spells it, or None when the entity has no such field.

    ``firstName`` gives ``first_name``, ``shippingAddress.postalCode`` gives
    ``shipping_address.postal_code``. What follows ``custom.`` is a tenant's own name and stays
    as written.
    """
    head, dot, rest = name.partition(".")
    if head == "custom":
        return name if rest else None
    field = snake_case(head)
    if field not in mappable_fields(entity):
        return None
    return _nested(fields_of(entity)[field], field, rest) if dot else field


def _nested(annotation: Any, path: str, rest: str) -> str | None:
    shape = _struct_in(annotation)
    if shape is None:
        return None
    head, dot, further = rest.partition(".")
    types = {field.name: field.type for field in msgspec.structs.fields(shape)}
    name = snake_case(head)
    if name not in types:
        return None
    return _nested(types[name], f"{path}.{name}", further) if dot else f"{path}.{name}"


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    for option in (annotation, *get_args(annotation)):
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return option
    return None
