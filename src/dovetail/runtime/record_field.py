"""The fields of an entity as the store and queries see them: kind, and where they are kept."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import msgspec
from msgspec import inspect

from dovetail.errors import UsageError
from dovetail.model.entity import Entity

Kind = Literal["text", "number", "boolean", "decimal", "datetime", "date", "list", "object", "any"]
"""How the values of a field compare; ``any`` is decided value by value."""

SYSTEM = ("id", "business_id", "version", "created_at", "updated_at")
"""Fields that are columns of their own and set by the store."""

_CUSTOM = "custom."

_KINDS: tuple[tuple[type[inspect.Type], Kind], ...] = (
    (inspect.StrType, "text"),
    (inspect.BoolType, "boolean"),
    (inspect.IntType, "number"),
    (inspect.FloatType, "number"),
    (inspect.DecimalType, "decimal"),
    (inspect.DateTimeType, "datetime"),
    (inspect.DateType, "date"),
    (inspect.ListType, "list"),
    (inspect.SetType, "list"),
    (inspect.FrozenSetType, "list"),
    (inspect.VarTupleType, "list"),
    (inspect.TupleType, "list"),
    (inspect.DictType, "object"),
    (inspect.StructType, "object"),
    (inspect.TypedDictType, "object"),
    (inspect.DataclassType, "object"),
)


@dataclass(frozen=True, slots=True)
class RecordField:
    """
    One field of one entity.

    Args:
        entity: The entity's class.
        name: As it is spelled in Python; ``custom.NAME`` for a tenant's own field.
        path: As it is spelled in the stored JSON.
        type: The declared type.
        kind: How its values compare.
        item_kind: How the items of a list compare.
        nullable: Whether None is a value of the declared type.
        omits_null: Whether None need not be stored, being the default.
    """

    entity: type[Entity]
    name: str
    path: str
    type: Any
    kind: Kind
    item_kind: Kind = "any"
    nullable: bool = True
    omits_null: bool = True

    @property
    def is_system(self) -> bool:
        """Whether the field is a column of its own."""
        return self.name in SYSTEM

    def __str__(self) -> str:
        return f"{self.entity.__name__}.{self.name}"


@lru_cache(maxsize=1024)
def record_fields(entity: type[Entity]) -> dict[str, RecordField]:
    """Return every field of an entity by name, system fields included."""
    return {field.name: _describe(entity, field) for field in msgspec.structs.fields(entity)}


@lru_cache(maxsize=1024)
def stored_fields(entity: type[Entity]) -> tuple[RecordField, ...]:
    """Return the fields that are kept in the JSON document, in order."""
    return tuple(field for field in record_fields(entity).values() if not field.is_system)


def find_field(entity: type[Entity], name: str) -> RecordField:
    """
    Return a field by name; ``custom.NAME`` for a tenant's own.

    Raises:
        UsageError: There is none; names the closest one.
    """
    declared = record_fields(entity)
    if name in declared:
        return declared[name]
    if name.startswith(_CUSTOM) and _is_custom_name(name.removeprefix(_CUSTOM)):
        return RecordField(entity, name, name, Any, "any")
    raise unknown_field(entity, name)


def unknown_field(entity: type[Entity], name: str) -> UsageError:
    """Return the error for a field that an entity does not have."""
    allowed = list(record_fields(entity))
    if name.startswith(_CUSTOM):
        advice = "The name of a custom field may not be empty or hold quotes or backslashes."
    else:
        near = closest(name, allowed)
        advice = (f"did you mean {near!r}? " if near else f"It has {', '.join(allowed)}. ") + (
            "Put a field of your own under custom={...}."
        )
    joint = ";" if advice.startswith("did") else "."
    return UsageError(f"{entity.__name__} has no field {name!r}{joint} {advice}", field=name)


def closest(name: str, allowed: list[str]) -> str | None:
    """Return the allowed name that *name* most likely means, or None when none is near."""
    found = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
    return found[0] if found else None


def _is_custom_name(name: str) -> bool:
    # Quotes, backslashes and control characters are escaped in JSON, so a path to them differs
    # from database to database.
    return bool(name) and name.isprintable() and not set(name) & set("\"'\\")


def _describe(entity: type[Entity], field: msgspec.structs.FieldInfo) -> RecordField:
    info = inspect.type_info(field.type)
    nullable, info = _strip_null(info)
    kind = _kind_of(info)
    item_kind: Kind = "any"
    if kind == "list":
        items = getattr(info, "item_type", None)
        item_kind = _kind_of(_strip_null(items)[1]) if items is not None else "any"
    return RecordField(
        entity=entity,
        name=field.name,
        path=field.encode_name,
        type=field.type,
        kind=kind,
        item_kind=item_kind,
        nullable=nullable or kind == "any",
        omits_null=field.default is None,
    )


def _strip_null(info: inspect.Type) -> tuple[bool, inspect.Type]:
    if isinstance(info, inspect.UnionType):
        kept = [part for part in info.types if not isinstance(part, inspect.NoneType)]
        nullable = len(kept) < len(info.types)
        if len(kept) == 1:
            return nullable, kept[0]
        kinds = {_kind_of(part) for part in kept}
        # `int | float` compares as numbers; a mixture is decided value by value.
        return nullable, kept[0] if kinds == {"number"} else inspect.AnyType()
    return isinstance(info, inspect.NoneType | inspect.AnyType), info


def _kind_of(info: inspect.Type) -> Kind:
    if isinstance(info, inspect.Metadata):
        return _kind_of(info.type)
    for known, kind in _KINDS:
        if isinstance(info, known):
            return kind
    if isinstance(info, inspect.LiteralType):
        return "text" if all(isinstance(one, str) for one in info.values) else "any"
    if isinstance(info, inspect.EnumType):
        return "text" if all(isinstance(one.value, str) for one in info.cls) else "any"
    if isinstance(info, inspect.UUIDType | inspect.TimeType | inspect.TimeDeltaType):
        return "text"
    return "any"
