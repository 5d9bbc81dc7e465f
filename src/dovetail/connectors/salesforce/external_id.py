"""The custom fields that hold our key, one for all objects or one for each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dovetail.connector_sdk.spec import Resource
from dovetail.connectors.salesforce.sobject import OBJECTS
from dovetail.errors import ConfigError

SETTING = "external_id_field"


def external_id_field(settings: Mapping[str, Any], resource: Resource) -> str | None:
    """
    Return the field of a resource that holds our key, None where the connection names none.

    The setting is one name for all objects, an object (``Contact``, or ``contacts``) -> name, or
    the same as text: ``contacts=Hub_Key__c,companies=Erp_Key__c``.

    Raises:
        ConfigError: It names something that is no object.
    """
    told = settings.get(SETTING)
    if isinstance(told, str) and "=" in told:
        pairs = (part.partition("=") for part in told.split(",") if part.strip())
        told = {name.strip(): field.strip() for name, _, field in pairs}
    if not isinstance(told, Mapping):
        return str(told or "") or None
    names = {one.resource.name: one.resource.path for one in OBJECTS.values()}
    _refuse_unknown(told, {*names, *names.values()})
    return str(told.get(resource.name) or told.get(resource.path) or "") or None


def check_field(resource: Resource, name: str, field: Mapping[str, Any] | None) -> None:
    """
    Make sure that a field, as Salesforce describes it, keeps a record from being made twice.

    Raises:
        ConfigError: It does not, or it does not exist.
    """
    if field is None or not field.get("externalId") or not field.get("unique", True):
        what = "does not exist there" if field is None else "is not a unique external id"
        raise ConfigError(
            f"The connection's setting {SETTING} names {resource.path}.{name}, which "
            f"{what}. In Salesforce, make it a custom text field marked External ID and "
            "Unique that the user may see, or remove the setting.",
            platform="salesforce",
            field=name,
        )


def _refuse_unknown(told: Mapping[str, Any], known: Collection[str]) -> None:
    for name in told:
        if name not in known:
            raise ConfigError(
                f"The connection's setting {SETTING} names {name!r}, which is no object of this "
                f"connector; it has: {', '.join(sorted(known))}.",
                platform="salesforce",
                setting=SETTING,
            )
