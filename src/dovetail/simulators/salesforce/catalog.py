"""The objects of a standard org: Contact in full, the others as far as integrations touch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.sobject import SObject

_LEAD_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
_WON = "Closed Won"
_STAGES = ("Prospecting", "Qualification", "Proposal/Price Quote", _WON, "Closed Lost")
_CASE_CLOSED = "Closed"

_ADDRESS_COLUMNS = ("street", "city", "state", "postal_code", "country")
_ADDRESS_PARTS = ("Street", "City", "State", "PostalCode", "Country")
_ADDRESS_LENGTHS = (255, 40, 80, 20, 80)
_ADDRESS_LABELS = ("Street", "City", "State/Province", "Zip/Postal Code", "Country")


def _system_fields() -> tuple[Field, ...]:
    return (
        Field("CreatedDate", "datetime", "Created Date", read_only=True),
        _user_reference("CreatedById", "Created By ID", "CreatedBy", read_only=True),
        Field("LastModifiedDate", "datetime", "Last Modified Date", read_only=True),
        _user_reference("LastModifiedById", "Last Modified By ID", "LastModifiedBy", True),
        Field("SystemModstamp", "datetime", "System Modstamp", read_only=True),
    )


def _identity(object_name: str) -> tuple[Field, ...]:
    return (
        Field("Id", "id", f"{object_name} ID", length=18, read_only=True, id_lookup=True),
        Field("IsDeleted", "boolean", "Deleted", read_only=True, default=False),
    )


def _master(object_name: str) -> Field:
    return Field(
        "MasterRecordId",
        "reference",
        "Master Record ID",
        length=18,
        read_only=True,
        refers_to=(object_name,),
        relationship="MasterRecord",
    )


def _reference(name: str, label: str, target: str, relationship: str) -> Field:
    return Field(
        name, "reference", label, length=18, refers_to=(target,), relationship=relationship
    )


def _user_reference(name: str, label: str, relationship: str, read_only: bool = False) -> Field:
    return Field(
        name,
        "reference",
        label,
        length=18,
        read_only=read_only,
        refers_to=("User",),
        relationship=relationship,
    )


def _owner() -> Field:
    return _user_reference("OwnerId", "Owner ID", "Owner")


def _address(kind: str) -> tuple[Field, ...]:
    parts = tuple(
        Field(
            f"{kind}{part}",
            "textarea" if part == "Street" else "string",
            f"{kind} {label}".strip(),
            length=length,
        )
        for part, label, length in zip(
            _ADDRESS_PARTS, _ADDRESS_LABELS, _ADDRESS_LENGTHS, strict=True
        )
    )
    compound = Field(f"{kind}Address", "address", f"{kind} Address".strip(), calculated=True)
    return (*parts, compound)


def _join_address(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    parts = {part[0].lower() + part[1:]: row.get(kind + part) for part in _ADDRESS_PARTS}
    if not any(parts.values()):
        return {f"{kind}Address": None}
    unlocated = {"geocodeAccuracy": None, "latitude": None, "longitude": None}
    return {f"{kind}Address": parts | unlocated}


def _full_name(row: Mapping[str, Any]) -> dict[str, Any]:
    parts = (row.get("FirstName"), row.get("LastName"))
    return {"Name": " ".join(part for part in parts if part) or None}


def _derive_contact(row: Mapping[str, Any]) -> dict[str, Any]:
    return _full_name(row) | _join_address(row, "Mailing") | _join_address(row, "Other")


def _derive_lead(row: Mapping[str, Any]) -> dict[str, Any]:
    return _full_name(row) | _join_address(row, "")


def _derive_account(row: Mapping[str, Any]) -> dict[str, Any]:
    return _join_address(row, "Billing")


def _derive_opportunity(row: Mapping[str, Any]) -> dict[str, Any]:
    stage = str(row.get("StageName"))
    return {"IsWon": stage == _WON, "IsClosed": stage.startswith("Closed")}


def _derive_case(row: Mapping[str, Any]) -> dict[str, Any]:
    is_closed = row.get("Status") == _CASE_CLOSED
    return {
        "IsClosed": is_closed,
        "ClosedDate": (row.get("ClosedDate") or row.get("SystemModstamp")) if is_closed else None,
    }


def _phone(name: str, label: str) -> Field:
    return Field(name, "phone", label, length=40)


def _columns(kind: str, **others: str) -> dict[str, str]:
    address = {
        column: kind + part for column, part in zip(_ADDRESS_COLUMNS, _ADDRESS_PARTS, strict=True)
    }
    return others | address


CONTACT = SObject(
    name="Contact",
    plural="Contacts",
    key_prefix="003",
    derive=_derive_contact,
    is_mergeable=True,
    columns=_columns(
        "Mailing",
        first_name="FirstName",
        last_name="LastName",
        email="Email",
        phone="Phone",
        mobile_phone="MobilePhone",
        job_title="Title",
    ),
    fields=(
        *_identity("Contact"),
        _master("Contact"),
        _reference("AccountId", "Account ID", "Account", "Account"),
        Field("LastName", label="Last Name", length=80, required=True),
        Field("FirstName", label="First Name", length=40),
        Field(
            "Salutation",
            "picklist",
            "Salutation",
            length=40,
            picklist=("Mr.", "Ms.", "Mrs.", "Dr.", "Prof."),
        ),
        Field("Name", label="Full Name", length=121, calculated=True),
        *_address("Other"),
        *_address("Mailing"),
        _phone("Phone", "Business Phone"),
        _phone("Fax", "Business Fax"),
        _phone("MobilePhone", "Mobile Phone"),
        _phone("HomePhone", "Home Phone"),
        _phone("OtherPhone", "Other Phone"),
        _phone("AssistantPhone", "Asst. Phone"),
        _reference("ReportsToId", "Reports To ID", "Contact", "ReportsTo"),
        Field("Email", "email", "Email", length=80, id_lookup=True),
        Field("Title", label="Title", length=128),
        Field("Department", label="Department", length=80),
        Field("AssistantName", label="Assistant's Name", length=40),
        Field("LeadSource", "picklist", "Lead Source", length=255, picklist=_LEAD_SOURCES),
        Field("Birthdate", "date", "Birthdate"),
        Field("Description", "textarea", "Contact Description", length=32_000),
        _owner(),
        Field("HasOptedOutOfEmail", "boolean", "Email Opt Out", default=False),
        Field("HasOptedOutOfFax", "boolean", "Fax Opt Out", default=False),
        Field("DoNotCall", "boolean", "Do Not Call", default=False),
        *_system_fields(),
        Field("LastActivityDate", "date", "Last Activity", read_only=True),
        Field("EmailBouncedReason", label="Email Bounced Reason", length=255, read_only=True),
        Field("EmailBouncedDate", "datetime", "Email Bounced Date", read_only=True),
    ),
)

ACCOUNT = SObject(
    name="Account",
    plural="Accounts",
    key_prefix="001",
    derive=_derive_account,
    is_mergeable=True,
    columns=_columns(
        "Billing",
        name="Name",
        website="Website",
        phone="Phone",
        industry="Industry",
        employees="NumberOfEmployees",
        annual_revenue="AnnualRevenue",
    ),
    fields=(
        *_identity("Account"),
        _master("Account"),
        Field("Name", label="Account Name", length=255, required=True),
        Field("Type", "picklist", "Account Type", length=255, picklist=("Prospect", "Customer")),
        _reference("ParentId", "Parent Account ID", "Account", "Parent"),
        *_address("Billing"),
        _phone("Phone", "Account Phone"),
        Field("Website", "url", "Website", length=255),
        Field("Industry", "picklist", "Industry", length=255, picklist=("Banking", "Retail")),
        Field("AnnualRevenue", "currency", "Annual Revenue"),
        Field("NumberOfEmployees", "int", "Employees"),
        Field("Description", "textarea", "Account Description", length=32_000),
        _owner(),
        *_system_fields(),
    ),
)

LEAD = SObject(
    name="Lead",
    plural="Leads",
    key_prefix="00Q",
    derive=_derive_lead,
    is_mergeable=True,
    columns=_columns(
        "",
        first_name="FirstName",
        last_name="LastName",
        email="Email",
        phone="Phone",
        mobile_phone="MobilePhone",
        job_title="Title",
        company_name="Company",
    ),
    fields=(
        *_identity("Lead"),
        _master("Lead"),
        Field("LastName", label="Last Name", length=80, required=True),
        Field("FirstName", label="First Name", length=40),
        Field("Name", label="Full Name", length=121, calculated=True),
        Field("Title", label="Title", length=128),
        Field("Company", label="Company", length=255, required=True),
        *_address(""),
        _phone("Phone", "Phone"),
        _phone("MobilePhone", "Mobile Phone"),
        Field("Email", "email", "Email", length=80, id_lookup=True),
        Field("LeadSource", "picklist", "Lead Source", length=255, picklist=_LEAD_SOURCES),
        Field("Status", "picklist", "Status", length=255, default="Open - Not Contacted"),
        _owner(),
        Field("IsConverted", "boolean", "Converted", read_only=True, default=False),
        Field("ConvertedDate", "date", "Converted Date", read_only=True),
        *_system_fields(),
    ),
)

OPPORTUNITY = SObject(
    name="Opportunity",
    plural="Opportunities",
    key_prefix="006",
    derive=_derive_opportunity,
    columns={"name": "Name", "amount": "Amount", "stage": "StageName", "close_date": "CloseDate"},
    fields=(
        *_identity("Opportunity"),
        _reference("AccountId", "Account ID", "Account", "Account"),
        Field("Name", label="Name", length=120, required=True),
        Field("Description", "textarea", "Description", length=32_000),
        Field("StageName", "picklist", "Stage", length=255, required=True, picklist=_STAGES),
        Field("Amount", "currency", "Amount"),
        Field("Probability", "percent", "Probability (%)"),
        Field("CloseDate", "date", "Close Date", required=True),
        Field("IsClosed", "boolean", "Closed", calculated=True),
        Field("IsWon", "boolean", "Won", calculated=True),
        _owner(),
        *_system_fields(),
    ),
)

CASE = SObject(
    name="Case",
    plural="Cases",
    key_prefix="500",
    derive=_derive_case,
    columns={
        "subject": "Subject",
        "description": "Description",
        "status": "Status",
        "priority": "Priority",
        "channel": "Origin",
        "requester_email": "SuppliedEmail",
    },
    fields=(
        *_identity("Case"),
        _master("Case"),
        Field("CaseNumber", label="Case Number", length=30, read_only=True),
        _reference("ContactId", "Contact ID", "Contact", "Contact"),
        _reference("AccountId", "Account ID", "Account", "Account"),
        Field("SuppliedEmail", "email", "Web Email", length=80),
        Field("Status", "picklist", "Status", length=255, default="New"),
        Field("Origin", "picklist", "Case Origin", length=255),
        Field("Subject", label="Subject", length=255),
        Field("Priority", "picklist", "Priority", length=255, default="Medium"),
        Field("Description", "textarea", "Description", length=32_000),
        Field("IsClosed", "boolean", "Closed", calculated=True),
        Field("ClosedDate", "datetime", "Closed Date", calculated=True),
        _owner(),
        *_system_fields(),
    ),
)

USER = SObject(
    name="User",
    plural="Users",
    key_prefix="005",
    is_writable=False,
    fields=(
        *_identity("User")[:1],
        Field("Username", label="Username", length=80, read_only=True),
        Field("Name", label="Full Name", length=121, read_only=True),
        Field("Email", "email", "Email", length=128, read_only=True),
        Field("IsActive", "boolean", "Active", read_only=True),
        *_system_fields(),
    ),
)

ORGANIZATION = SObject(
    name="Organization",
    plural="Organizations",
    key_prefix="00D",
    is_writable=False,
    fields=(
        *_identity("Organization")[:1],
        Field("Name", label="Name", length=80, read_only=True),
        Field("OrganizationType", "picklist", "Edition", length=40, read_only=True),
        Field("InstanceName", label="Instance Name", length=5, read_only=True),
        Field("IsSandbox", "boolean", "Is Sandbox", read_only=True),
        *_system_fields(),
    ),
)

STANDARD_OBJECTS = (CONTACT, ACCOUNT, LEAD, OPPORTUNITY, CASE, USER, ORGANIZATION)


def add_external_ids(sobject: SObject, names: tuple[str, ...]) -> SObject:
    """Return the object with custom text fields flagged External ID and Unique."""
    added = tuple(
        Field(name, label=name.removesuffix("__c"), length=255, external_id=True, unique=True)
        for name in names
    )
    return replace(sobject, fields=sobject.fields + added)
