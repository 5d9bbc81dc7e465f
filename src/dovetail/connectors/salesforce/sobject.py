"""The objects of Salesforce as values; what differs between them is here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dovetail.connector_sdk.spec import OWNERS, Capability, Guarantee, Reference, Resource
from dovetail.connectors.salesforce.value import MODIFIED
from dovetail.model.crm import Company, Contact, Deal, Ticket
from dovetail.model.entity import Entity

# Deleted rows stay in the recycle bin for 15 days, unless somebody empties it or goes around it.
_BIN_S = 15 * 86_400.0

# A query shows 2,000 records a call, a job 10,000 after about eight calls: from here on it is less.
_BULK_READ_FROM = 20_000
# A collection takes 200 records a call, a job 10,000 in about nine calls.
_BULK_WRITE_FROM = 2_000

_COMPANY = Reference("company_id", "companies")
_CONTACT = Reference("contact_id", "contacts")
_OWNER = Reference("owner_id", OWNERS)


@dataclass(frozen=True, slots=True)
class SObject:
    """
    What Salesforce says of one object beyond its resource.

    Attributes:
        resource: The declaration that the engines see.
        identities: Text fields by which a create whose answer was lost is looked up: the first
            group whose first field was sent, or else the last group.
        needs: The field of the last group without which Salesforce makes no such record.
        money: Fields that hold an amount of money.
        merges: Whether records can be merged; the losers name the winner.
    """

    resource: Resource
    identities: tuple[tuple[str, ...], ...]
    needs: str | None = None
    money: frozenset[str] = frozenset()
    merges: bool = True

    @property
    def system(self) -> tuple[str, ...]:
        """The fields that every record needs."""
        merged = ("MasterRecordId",) if self.merges else ()
        return ("Id", "IsDeleted", *merged, "CreatedDate", MODIFIED)


def _resource(
    name: str,
    entity: type[Entity],
    path: str,
    fields: Mapping[str, str],
    references: Mapping[str, Reference],
    key_field: str | None = None,
) -> Resource:
    return Resource(
        name=name,
        entity=entity,
        path=path,
        key_field=key_field,
        key_is_unique=False,
        modified_field=MODIFIED,
        fields=fields,
        read_batch=2000,
        write_batch=200,
        consistency_lag_s=60,
        capabilities=frozenset(Capability) - {Capability.WEBHOOKS},
        guarantees={
            "create": Guarantee.LOOK_UP,
            "update": Guarantee.IDEMPOTENT,
            "delete": Guarantee.IDEMPOTENT,
        },
        guarantees_with={"external_id_field": {"create": Guarantee.PLATFORM_KEY}},
        references=references,
        bulk_read_from=_BULK_READ_FROM,
        bulk_write_from=_BULK_WRITE_FROM,
        tombstones_for_s=_BIN_S,
    )


def _place(prefix: str) -> dict[str, str]:
    return {
        f"{prefix}Street": "street",
        f"{prefix}City": "city",
        f"{prefix}State": "state",
        f"{prefix}PostalCode": "postal_code",
        f"{prefix}Country": "country",
    }


CONTACTS = SObject(
    _resource(
        "contacts",
        Contact,
        "Contact",
        {
            "FirstName": "first_name",
            "LastName": "last_name",
            "Email": "email",
            "Phone": "phone",
            "MobilePhone": "mobile_phone",
            "Title": "job_title",
            **_place("Mailing"),
        },
        {"AccountId": _COMPANY, "OwnerId": _OWNER},
        key_field="Email",
    ),
    identities=(("Email",), ("LastName", "FirstName", "Phone")),
    needs="LastName",
)

COMPANIES = SObject(
    _resource(
        "companies",
        Company,
        "Account",
        # Without a key: there is no field for the domain. Website is free text, with or without
        # scheme and path, which branches share; names are not unique either.
        {
            "Name": "name",
            "Website": "website",
            "Phone": "phone",
            "Industry": "industry",
            "AnnualRevenue": "annual_revenue",
            **_place("Billing"),
        },
        {"OwnerId": _OWNER},
    ),
    identities=(("Name", "Phone"),),
    needs="Name",
    money=frozenset({"AnnualRevenue"}),
)

DEALS = SObject(
    _resource(
        "deals",
        Deal,
        "Opportunity",
        {"Name": "name", "StageName": "stage", "Amount": "amount", "CloseDate": "close_date"},
        {"AccountId": _COMPANY, "OwnerId": _OWNER},
    ),
    identities=(("Name", "StageName"),),
    needs="Name",
    money=frozenset({"Amount"}),
    merges=False,
)

TICKETS = SObject(
    _resource(
        "tickets",
        Ticket,
        "Case",
        {
            "Subject": "subject",
            "Description": "description",
            "Status": "status",
            "Priority": "priority",
            "Origin": "channel",
            "SuppliedEmail": "requester_email",
        },
        {
            "ContactId": _CONTACT,
            "AccountId": _COMPANY,
            "OwnerId": Reference("assignee_id", OWNERS),
        },
    ),
    identities=(("Subject", "SuppliedEmail"),),
)

OBJECTS: Mapping[str, SObject] = {
    one.resource.name: one for one in (CONTACTS, COMPANIES, DEALS, TICKETS)
}
"""By the name of the resource."""


def object_of(resource: Resource) -> SObject:
    """Return what Salesforce says of a resource."""
    return OBJECTS[resource.name]
