"""The object types of a fresh HubSpot portal and their properties."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dovetail.simulators.hubspot.property import LIFECYCLE_STAGES, Property


@dataclass(frozen=True, slots=True)
class ObjectType:
    """
    One type of CRM object.

    `modified` names its modification property: contacts differ from all others. `needs_one_of`
    are the properties of which a new record must have one; `history` is how many versions of a
    value are kept.
    """

    name: str
    type_id: str
    singular: str
    modified: str
    defaults: tuple[str, ...]
    needs_one_of: tuple[str, ...]
    history: int

    @property
    def label(self) -> str:
        """Return the name that messages use: ``Contact``."""
        return self.singular.capitalize()

    @property
    def always(self) -> tuple[str, ...]:
        """Return the properties that come back whatever was asked for."""
        return ("createdate", "hs_object_id", self.modified)


OBJECT_TYPES: dict[str, ObjectType] = {
    each.name: each
    for each in (
        ObjectType(
            name="contacts",
            type_id="0-1",
            singular="contact",
            modified="lastmodifieddate",
            defaults=("email", "firstname", "lastname"),
            needs_one_of=("email", "firstname", "lastname"),
            history=45,
        ),
        ObjectType(
            name="companies",
            type_id="0-2",
            singular="company",
            modified="hs_lastmodifieddate",
            defaults=("name", "domain"),
            needs_one_of=("name", "domain"),
            history=20,
        ),
        ObjectType(
            name="deals",
            type_id="0-3",
            singular="deal",
            modified="hs_lastmodifieddate",
            defaults=("dealname", "amount", "closedate", "pipeline", "dealstage"),
            needs_one_of=(),
            history=20,
        ),
        ObjectType(
            name="tickets",
            type_id="0-5",
            singular="ticket",
            modified="hs_lastmodifieddate",
            defaults=(
                "subject",
                "content",
                "hs_pipeline",
                "hs_pipeline_stage",
                "hs_ticket_category",
                "hs_ticket_priority",
            ),
            needs_one_of=("hs_pipeline_stage",),
            history=20,
        ),
    )
}

_GROUPS = {name: f"{each.singular}information" for name, each in OBJECT_TYPES.items()}

_DEAL_STAGES = (
    "appointmentscheduled",
    "qualifiedtobuy",
    "presentationscheduled",
    "decisionmakerboughtin",
    "contractsent",
    "closedwon",
    "closedlost",
)
_PROBABILITIES = {"closedwon": "1.0", "closedlost": "0.0"}
_INDUSTRIES = ("ACCOUNTING", "BANKING", "COMPUTER_SOFTWARE", "CONSTRUCTION", "RETAIL")

PIPELINES: dict[str, list[dict[str, Any]]] = {
    "deals": [
        {
            "id": "default",
            "label": "Sales Pipeline",
            "displayOrder": 0,
            "archived": False,
            "stages": [
                {
                    "id": stage,
                    "label": stage.capitalize(),
                    "displayOrder": order,
                    "archived": False,
                    "metadata": {
                        "isClosed": str(stage.startswith("closed")).lower(),
                        "probability": _PROBABILITIES.get(stage, f"{order / 10 + 0.2:.1f}"),
                    },
                }
                for order, stage in enumerate(_DEAL_STAGES)
            ],
        }
    ],
    "tickets": [
        {
            "id": "0",
            "label": "Support Pipeline",
            "displayOrder": 0,
            "archived": False,
            "stages": [
                {
                    "id": str(order),
                    "label": label,
                    "displayOrder": order - 1,
                    "archived": False,
                    "metadata": {"ticketState": "CLOSED" if order == 4 else "OPEN"},
                }
                for order, label in enumerate(
                    ("New", "Waiting on contact", "Waiting on us", "Closed"), start=1
                )
            ],
        }
    ],
}

# name, type, field type, options
_PROPERTIES: dict[str, tuple[tuple[str, str, str, tuple[str, ...]], ...]] = {
    "contacts": (
        *((name, "string", "text", ()) for name in ("email", "firstname", "lastname")),
        ("phone", "string", "phonenumber", ()),
        ("mobilephone", "string", "phonenumber", ()),
        *(
            (name, "string", "text", ())
            for name in (
                "company",
                "jobtitle",
                "address",
                "city",
                "state",
                "zip",
                "country",
                "website",
                "hs_language",
            )
        ),
        ("lifecyclestage", "enumeration", "radio", LIFECYCLE_STAGES),
        ("hs_lead_status", "enumeration", "radio", ("NEW", "OPEN", "IN_PROGRESS", "CONNECTED")),
        ("hubspot_owner_id", "enumeration", "select", ()),
        ("date_of_birth", "string", "text", ()),
        ("closedate", "datetime", "date", ()),
        ("annualrevenue", "string", "text", ()),
        ("numemployees", "enumeration", "select", ("1-5", "5-25", "25-50", "50-100", "100-500")),
        ("total_revenue", "number", "number", ()),
    ),
    "companies": (
        *(
            (name, "string", "text", ())
            for name in ("name", "domain", "phone", "address", "city", "state", "zip", "country")
        ),
        ("website", "string", "text", ()),
        ("description", "string", "textarea", ()),
        ("industry", "enumeration", "select", _INDUSTRIES),
        ("lifecyclestage", "enumeration", "radio", LIFECYCLE_STAGES),
        ("numberofemployees", "number", "number", ()),
        ("annualrevenue", "number", "number", ()),
        ("hubspot_owner_id", "enumeration", "select", ()),
    ),
    "deals": (
        ("dealname", "string", "text", ()),
        ("amount", "number", "number", ()),
        ("deal_currency_code", "enumeration", "select", ()),
        ("pipeline", "enumeration", "select", ("default",)),
        ("dealstage", "enumeration", "radio", _DEAL_STAGES),
        ("closedate", "datetime", "date", ()),
        ("dealtype", "enumeration", "radio", ("newbusiness", "existingbusiness")),
        ("description", "string", "textarea", ()),
        ("hubspot_owner_id", "enumeration", "select", ()),
    ),
    "tickets": (
        ("subject", "string", "text", ()),
        ("content", "string", "textarea", ()),
        ("hs_pipeline", "enumeration", "select", ("0",)),
        ("hs_pipeline_stage", "enumeration", "radio", ("1", "2", "3", "4")),
        ("hs_ticket_category", "enumeration", "checkbox", ("PRODUCT_ISSUE", "BILLING_ISSUE")),
        ("hs_ticket_priority", "enumeration", "select", ("LOW", "MEDIUM", "HIGH", "URGENT")),
        ("hubspot_owner_id", "enumeration", "select", ()),
    ),
}

_READ_ONLY: dict[str, tuple[tuple[str, str], ...]] = {
    "contacts": (
        ("hs_additional_emails", "string"),
        ("hs_calculated_merged_vids", "string"),
    ),
    "companies": (),
    "deals": (("hs_is_closed_won", "bool"),),
    "tickets": (),
}

DEFAULT_VALUES: dict[str, dict[str, str]] = {
    "contacts": {},
    "companies": {},
    "deals": {"pipeline": "default"},
    "tickets": {"hs_pipeline": "0"},
}


def native_properties(kind: ObjectType) -> dict[str, Property]:
    """Return the properties that every portal has, by name."""
    group = _GROUPS[kind.name]
    defined = {
        name: Property(
            name=name,
            label=name.replace("_", " ").capitalize(),
            type=type_,
            field_type=field_type,
            group=group,
            options=[option(value, order) for order, value in enumerate(values)],
            unique=name == "email" and kind.name == "contacts",
        )
        for name, type_, field_type, values in _PROPERTIES[kind.name]
    }
    read_only = (
        ("createdate", "datetime"),
        (kind.modified, "datetime"),
        ("hs_object_id", "number"),
        ("hs_merged_object_ids", "string"),
        *_READ_ONLY[kind.name],
    )
    for name, type_ in read_only:
        defined[name] = Property(
            name=name,
            label=name.replace("_", " ").capitalize(),
            type=type_,
            field_type="date" if type_ == "datetime" else "text",
            group=group,
            read_only=True,
        )
    return defined


def option(value: str, order: int) -> dict[str, Any]:
    """Return an option of an enumeration."""
    return {"label": value, "value": value, "displayOrder": order, "hidden": False}


def group_of(kind: ObjectType) -> str:
    """Return the property group that every portal has for the type."""
    return _GROUPS[kind.name]


def first_group(kind: ObjectType) -> dict[str, Any]:
    """Return that group as the API shows it."""
    name = _GROUPS[kind.name]
    return {"name": name, "label": name, "displayOrder": 0, "archived": False}
