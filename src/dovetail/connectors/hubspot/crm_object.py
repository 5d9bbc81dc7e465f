"""The objects of HubSpot's CRM as values; what differs between them is here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dovetail.connector_sdk.spec import Capability, Guarantee, Resource
from dovetail.connectors.hubspot.edge import references_of
from dovetail.model.crm import Company, Contact, Deal, Ticket
from dovetail.model.entity import Entity

KEY_PROPERTY = "dovetail_id"
"""Our unique property: HubSpot itself refuses a second record with one `Write.key`."""
BATCH = 100

_SEARCH_LAG_S = 60.0


@dataclass(frozen=True, slots=True)
class CrmObject:
    """
    What HubSpot says of one object beyond its resource.

    Attributes:
        resource: The declaration that the engines see.
        singular: Its name in subscription types: ``contact.creation``.
        type_id: Its number, which generic events carry.
        group: The property group that our own property goes to.
        merged: The properties that name the records merged into one.
        erasable: Whether there are events of records that were erased for privacy.
        domain_field: A web domain that identifies it without being unique; found by search.
        stage_field: Where it stands in a pipeline.
        pipeline_field: The pipeline of that stage.
        moments: Properties that hold a moment where our field is a date.
    """

    resource: Resource
    singular: str
    type_id: str
    group: str
    merged: tuple[str, ...] = ("hs_merged_object_ids",)
    erasable: bool = False
    domain_field: str | None = None
    stage_field: str | None = None
    pipeline_field: str | None = None
    moments: frozenset[str] = frozenset()

    @property
    def properties_path(self) -> str:
        """Where the object's properties are described."""
        return f"/crm/v3/properties/{self.resource.name}"


def _resource(
    name: str,
    entity: type[Entity],
    fields: Mapping[str, str],
    *,
    key_field: str | None = None,
    key_is_unique: bool = False,
    modified_field: str = "hs_lastmodifieddate",
    answer_lag_s: float = _SEARCH_LAG_S,
) -> Resource:
    return Resource(
        name=name,
        entity=entity,
        path=f"/crm/v3/objects/{name}",
        key_field=key_field,
        key_is_unique=key_is_unique,
        modified_field=modified_field,
        fields=fields,
        read_batch=BATCH,
        write_batch=BATCH,
        consistency_lag_s=_SEARCH_LAG_S,
        answer_lag_s=answer_lag_s,
        capabilities=frozenset(Capability) - {Capability.TOMBSTONES},
        references=references_of(name),
        guarantees={
            "create": Guarantee.PLATFORM_KEY,
            "update": Guarantee.IDEMPOTENT,
            "delete": Guarantee.IDEMPOTENT,
        },
    )


_PLACE = {
    "address": "street",
    "city": "city",
    "state": "state",
    "zip": "postal_code",
    "country": "country",
}

CONTACTS = CrmObject(
    _resource(
        "contacts",
        Contact,
        {
            "email": "email",
            "firstname": "first_name",
            "lastname": "last_name",
            "phone": "phone",
            "mobilephone": "mobile_phone",
            "company": "company_name",
            "jobtitle": "job_title",
            **_PLACE,
        },
        key_field="email",
        key_is_unique=True,
        modified_field="lastmodifieddate",
        answer_lag_s=10.0,  # an address is looked up by the record itself, not in the index
    ),
    singular="contact",
    type_id="0-1",
    group="contactinformation",
    merged=("hs_merged_object_ids", "hs_calculated_merged_vids"),
    erasable=True,
)

COMPANIES = CrmObject(
    _resource(
        "companies",
        Company,
        # Without the industry: HubSpot takes only its own list, and refuses the whole record.
        {"name": "name", "domain": "domain", "phone": "phone", **_PLACE},
        key_field="domain",
    ),
    singular="company",
    type_id="0-2",
    group="companyinformation",
    domain_field="domain",
)

DEALS = CrmObject(
    _resource(
        "deals",
        Deal,
        {
            "dealname": "name",
            "amount": "amount",
            "deal_currency_code": "currency",
            "pipeline": "pipeline",
            "dealstage": "stage",
            "closedate": "close_date",
        },
    ),
    singular="deal",
    type_id="0-3",
    group="dealinformation",
    stage_field="dealstage",
    pipeline_field="pipeline",
    moments=frozenset({"closedate"}),
)

TICKETS = CrmObject(
    _resource(
        "tickets",
        Ticket,
        {
            "subject": "subject",
            "content": "description",
            "hs_pipeline": "pipeline",
            "hs_pipeline_stage": "status",
            "hs_ticket_priority": "priority",
        },
    ),
    singular="ticket",
    type_id="0-5",
    group="ticketinformation",
    stage_field="hs_pipeline_stage",
    pipeline_field="hs_pipeline",
)

OBJECTS: Mapping[str, CrmObject] = {
    one.resource.name: one for one in (CONTACTS, COMPANIES, DEALS, TICKETS)
}
"""By the name of the resource."""


def object_of(resource: Resource) -> CrmObject:
    """Return what HubSpot says of a resource."""
    return OBJECTS[resource.name]
