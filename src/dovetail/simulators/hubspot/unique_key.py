"""Which record has which unique value: e-mail addresses, secondary ones too, and own properties."""

from __future__ import annotations

from collections.abc import Mapping

from dovetail.simulators.hubspot import refusal
from dovetail.simulators.hubspot.catalog import ObjectType
from dovetail.simulators.hubspot.property import Property


class UniqueKeys:
    """
    The unique values of living records.

    Args:
        properties: The definitions by object type; some are unique.
    """

    def __init__(self, properties: Mapping[str, Mapping[str, Property]]) -> None:
        self._properties = properties
        self._owners: dict[tuple[str, str], dict[str, str]] = {}

    def owner(self, kind: ObjectType, name: str, value: str) -> str | None:
        """Return the id of the record that has this value."""
        return self._owners.get((kind.name, name), {}).get(_key(name, value))

    def among(self, kind: ObjectType, fields: Mapping[str, str | None]) -> list[tuple[str, str]]:
        """Return the unique keys among these values."""
        definitions = self._properties[kind.name]
        return [
            (name, _key(name, value))
            for name, value in fields.items()
            if value is not None and definitions[name].unique
        ]

    def check(
        self, kind: ObjectType, fields: Mapping[str, str | None], *, owner: str | None
    ) -> None:
        """
        Let values pass that no other record has.

        Raises:
            RefusedError: Another record has one.
        """
        for name, key in self.among(kind, fields):
            taken_by = self._owners.get((kind.name, name), {}).get(key)
            if taken_by is None or taken_by == owner:
                continue
            if name == "email":
                raise refusal.conflict(f"{kind.label} already exists. Existing ID: {taken_by}")
            raise refusal.invalid(
                f"Cannot set PropertyValueCoordinates{{objectTypeId={kind.type_id}, "
                f"propertyName={name}, value={fields[name]}}} on {owner or 'a new record'}. "
                f"{taken_by} already has that value.",
                field=name,
            )

    def claim(self, kind: ObjectType, id: str, fields: Mapping[str, str | None]) -> None:
        """Give values to a record."""
        for name, key in self.among(kind, fields):
            self._owners.setdefault((kind.name, name), {})[key] = id
        for address in _secondary(fields):
            self._owners.setdefault((kind.name, "email"), {})[address] = id

    def release(self, kind: ObjectType, id: str, fields: Mapping[str, str | None]) -> None:
        """Take values from a record, as far as they are its own."""
        keys = self.among(kind, fields)
        keys += [("email", address) for address in _secondary(fields)]
        for name, key in keys:
            owners = self._owners.get((kind.name, name), {})
            if owners.get(key) == id:
                del owners[key]


def _key(name: str, value: str) -> str:
    return value.strip().lower() if name == "email" else value


def _secondary(fields: Mapping[str, str | None]) -> list[str]:
    return [each for each in (fields.get("hs_additional_emails") or "").split(";") if each]
