"""The objects of a standard org: Contact in full, the others as far as integrations touch them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dovetail.simulators.salesforce.campaign import CAMPAIGN, CAMPAIGN_MEMBER
from dovetail.simulators.salesforce.directory import ORGANIZATION, USER
from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.sobject import SObject
from dovetail.simulators.salesforce.standard_field import (
    address,
    identity,
    join_address,
    loaded_columns,
    master,
    owner,
    phone,
    reference,
    system_fields,
)

_LEAD_SOURCES = ("Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other")
_WON = "Closed Won"
_PROBABILITIES = {
    "Prospecting": 10.0,
    "Qualification": 10.0,
    "Proposal/Price Quote": 75.0,
    _WON: 100.0,
    "Closed Lost": 0.0,
}
_STAGES = tuple(_PROBABILITIES)
_CASE_CLOSED = "Closed"
_CASE_STATUSES = ("New", "Working", "Escalated", _CASE_CLOSED)
_LEAD_STATUSES = ("Open - Not Contacted", "Working - Contacted", "Closed - Converted")


def _full_name(row: Mapping[str, Any]) -> dict[str, Any]:
    parts = (row.get("FirstName"), row.get("LastName"))
    return {"Name": " ".join(part for part in parts if part) or None}


def _derive_contact(row: Mapping[str, Any]) -> dict[str, Any]:
    return _full_name(row) | join_address(row, "Mailing") | join_address(row, "Other")


def _derive_lead(row: Mapping[str, Any]) -> dict[str, Any]:
    return _full_name(row) | join_address(row, "")


def _derive_account(row: Mapping[str, Any]) -> dict[str, Any]:
    return join_address(row, "Billing")


def _derive_opportunity(row: Mapping[str, Any]) -> dict[str, Any]:
    stage = str(row.get("StageName"))
    return {"IsWon": stage == _WON, "IsClosed": stage.startswith("Closed")}


def _imply_probability(sent: Mapping[str, Any]) -> dict[str, Any]:
    """A stage brings its probability along, unless the same write sets another one."""
    stage = sent.get("StageName")
    if stage not in _PROBABILITIES or sent.get("Probability") is not None:
        return {}
    return {"Probability": _PROBABILITIES[stage]}


def _derive_case(row: Mapping[str, Any]) -> dict[str, Any]:
    is_closed = row.get("Status") == _CASE_CLOSED
    return {
        "IsClosed": is_closed,
        "ClosedDate": (row.get("ClosedDate") or row.get("SystemModstamp")) if is_closed else None,
    }


CONTACT = SObject(
    name="Contact",
    plural="Contacts",
    key_prefix="003",
    derive=_derive_contact,
    is_mergeable=True,
    columns=loaded_columns(
        "Mailing",
        first_name="FirstName",
        last_name="LastName",
        email="Email",
        phone="Phone",
        mobile_phone="MobilePhone",
        job_title="Title",
    ),
    fields=(
        *identity("Contact"),
        master("Contact"),
        reference("AccountId", "Account ID", "Account", "Account"),
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
        *address("Other"),
        *address("Mailing"),
        phone("Phone", "Business Phone"),
        phone("Fax", "Business Fax"),
        phone("MobilePhone", "Mobile Phone"),
        phone("HomePhone", "Home Phone"),
        phone("OtherPhone", "Other Phone"),
        phone("AssistantPhone", "Asst. Phone"),
        reference("ReportsToId", "Reports To ID", "Contact", "ReportsTo"),
        Field("Email", "email", "Email", length=80, id_lookup=True),
        Field("Title", label="Title", length=128),
        Field("Department", label="Department", length=80),
        Field("AssistantName", label="Assistant's Name", length=40),
        Field("LeadSource", "picklist", "Lead Source", length=255, picklist=_LEAD_SOURCES),
        Field("Birthdate", "date", "Birthdate"),
        Field("Description", "textarea", "Contact Description", length=32_000),
        owner(),
        Field("HasOptedOutOfEmail", "boolean", "Email Opt Out", default=False),
        Field("HasOptedOutOfFax", "boolean", "Fax Opt Out", default=False),
        Field("DoNotCall", "boolean", "Do Not Call", default=False),
        *system_fields(),
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
    columns=loaded_columns(
        "Billing",
        name="Name",
        website="Website",
        phone="Phone",
        industry="Industry",
        employees="NumberOfEmployees",
        annual_revenue="AnnualRevenue",
    ),
    fields=(
        *identity("Account"),
        master("Account"),
        Field("Name", label="Account Name", length=255, required=True),
        Field("Type", "picklist", "Account Type", length=255, picklist=("Prospect", "Customer")),
        reference("ParentId", "Parent Account ID", "Account", "Parent"),
        *address("Billing"),
        phone("Phone", "Account Phone"),
        Field("Website", "url", "Website", length=255),
        Field("Industry", "picklist", "Industry", length=255, picklist=("Banking", "Retail")),
        Field("AnnualRevenue", "currency", "Annual Revenue"),
        Field("NumberOfEmployees", "int", "Employees"),
        Field("Description", "textarea", "Account Description", length=32_000),
        owner(),
        *system_fields(),
    ),
)

LEAD = SObject(
    name="Lead",
    plural="Leads",
    key_prefix="00Q",
    derive=_derive_lead,
    is_mergeable=True,
    columns=loaded_columns(
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
        *identity("Lead"),
        master("Lead"),
        Field("LastName", label="Last Name", length=80, required=True),
        Field("FirstName", label="First Name", length=40),
        Field("Name", label="Full Name", length=121, calculated=True),
        Field("Title", label="Title", length=128),
        Field("Company", label="Company", length=255, required=True),
        *address(""),
        phone("Phone", "Phone"),
        phone("MobilePhone", "Mobile Phone"),
        Field("Email", "email", "Email", length=80, id_lookup=True),
        Field("LeadSource", "picklist", "Lead Source", length=255, picklist=_LEAD_SOURCES),
        Field(
            "Status",
            "picklist",
            "Status",
            length=255,
            picklist=_LEAD_STATUSES,
            default=_LEAD_STATUSES[0],
        ),
        owner(),
        Field("IsConverted", "boolean", "Converted", read_only=True, default=False),
        Field("ConvertedDate", "date", "Converted Date", read_only=True),
        *(
            replace(
                reference(f"Converted{name}Id", f"Converted {name} ID", name, f"Converted{name}"),
                read_only=True,
            )
            for name in ("Account", "Contact", "Opportunity")
        ),
        *system_fields(),
    ),
)

OPPORTUNITY = SObject(
    name="Opportunity",
    plural="Opportunities",
    key_prefix="006",
    derive=_derive_opportunity,
    imply=_imply_probability,
    columns={"name": "Name", "amount": "Amount", "stage": "StageName", "close_date": "CloseDate"},
    fields=(
        *identity("Opportunity"),
        reference("AccountId", "Account ID", "Account", "Account"),
        Field("Name", label="Name", length=120, required=True),
        Field("Description", "textarea", "Description", length=32_000),
        Field("StageName", "picklist", "Stage", length=255, required=True, picklist=_STAGES),
        Field("Amount", "currency", "Amount"),
        Field("Probability", "percent", "Probability (%)"),
        reference("CampaignId", "Campaign ID", "Campaign", "Campaign"),
        Field("CloseDate", "date", "Close Date", required=True),
        Field("IsClosed", "boolean", "Closed", calculated=True),
        Field("IsWon", "boolean", "Won", calculated=True),
        owner(),
        *system_fields(),
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
        *identity("Case"),
        master("Case"),
        Field("CaseNumber", label="Case Number", length=30, read_only=True),
        reference("ContactId", "Contact ID", "Contact", "Contact"),
        reference("AccountId", "Account ID", "Account", "Account"),
        Field("SuppliedEmail", "email", "Web Email", length=80),
        Field("Status", "picklist", "Status", length=255, picklist=_CASE_STATUSES, default="New"),
        Field("Origin", "picklist", "Case Origin", length=255, picklist=("Phone", "Email", "Web")),
        Field("Subject", label="Subject", length=255),
        Field(
            "Priority",
            "picklist",
            "Priority",
            length=255,
            picklist=("High", "Medium", "Low"),
            default="Medium",
        ),
        Field("Description", "textarea", "Description", length=32_000),
        Field("IsClosed", "boolean", "Closed", calculated=True),
        Field("ClosedDate", "datetime", "Closed Date", calculated=True),
        owner(),
        *system_fields(),
    ),
)

STANDARD_OBJECTS = (
    CONTACT,
    ACCOUNT,
    LEAD,
    OPPORTUNITY,
    CASE,
    CAMPAIGN,
    CAMPAIGN_MEMBER,
    USER,
    ORGANIZATION,
)


def add_external_ids(sobject: SObject, names: tuple[str, ...]) -> SObject:
    """Return the object with custom text fields flagged External ID and Unique."""
    added = tuple(
        Field(name, label=name.removesuffix("__c"), length=255, external_id=True, unique=True)
        for name in names
    )
    return replace(sobject, fields=sobject.fields + added)
