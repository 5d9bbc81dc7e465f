"""Campaigns and who is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.sobject import SObject
from dovetail.simulators.salesforce.standard_field import (
    identity,
    owner,
    reference,
    system_fields,
)

_RESPONDED = "Responded"


def _derive_member(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"HasResponded": row.get("Status") == _RESPONDED}


CAMPAIGN = SObject(
    name="Campaign",
    plural="Campaigns",
    key_prefix="701",
    columns={"name": "Name", "status": "Status", "kind": "Type"},
    fields=(
        *identity("Campaign"),
        Field("Name", label="Name", length=80, required=True),
        reference("ParentId", "Parent Campaign ID", "Campaign", "Parent"),
        Field("Type", "picklist", "Type", length=255, picklist=("Email", "Webinar", "Other")),
        Field(
            "Status",
            "picklist",
            "Status",
            length=255,
            picklist=("Planned", "In Progress", "Completed", "Aborted"),
            default="Planned",
        ),
        Field("StartDate", "date", "Start Date"),
        Field("EndDate", "date", "End Date"),
        Field("IsActive", "boolean", "Active", default=False),
        Field("Description", "textarea", "Description", length=32_000),
        owner(),
        *system_fields(),
    ),
)

CAMPAIGN_MEMBER = SObject(
    name="CampaignMember",
    plural="CampaignMembers",
    key_prefix="00v",
    derive=_derive_member,
    needs_one_of=("ContactId", "LeadId"),
    unique_sets=(("CampaignId", "ContactId"), ("CampaignId", "LeadId")),
    unique_message="Already a campaign member.",
    fields=(
        *identity("Campaign Member"),
        replace(
            reference("CampaignId", "Campaign ID", "Campaign", "Campaign"),
            required=True,
            create_only=True,
        ),
        replace(reference("LeadId", "Lead ID", "Lead", "Lead"), create_only=True),
        replace(reference("ContactId", "Contact ID", "Contact", "Contact"), create_only=True),
        Field(
            "Status",
            "picklist",
            "Status",
            length=40,
            picklist=("Sent", _RESPONDED),
            default="Sent",
        ),
        Field("HasResponded", "boolean", "Responded", calculated=True),
        *system_fields(),
    ),
)
