"""A person converts a lead: an account, a contact and an opportunity come of it."""

from __future__ import annotations

from datetime import timedelta

from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.org import Org
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.sobject import Row
from dovetail.simulators.salesforce.write import Writer

_CLOSED = "Closed - Converted"
_CLOSES_IN = timedelta(days=30)
_COPIED = ("FirstName", "LastName", "Title", "Email", "Phone", "MobilePhone", "LeadSource")


def convert(org: Org, writer: Writer, lead_id: str) -> Row:
    """
    Make a lead what it has become and return it; it stays, read only in the platform's pages.

    Raises:
        SalesforceError: It was converted before, or does not exist.
    """
    lead = writer.existing(org.sobject("Lead"), lead_id)
    if lead["IsConverted"]:
        raise SalesforceError(
            400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead"
        )
    with org.all_or_none():
        account = writer.create(org.sobject("Account"), {"Name": lead["Company"]})
        copied = {name: lead[name] for name in _COPIED}
        contact = writer.create(
            org.sobject("Contact"), {**copied, "AccountId": account}, allow_duplicates=True
        )
        closes_on = (org.now() + _CLOSES_IN).date().isoformat()
        deal = writer.create(
            org.sobject("Opportunity"),
            {
                "Name": f"{lead['Company']}-",
                "AccountId": account,
                "StageName": "Prospecting",
                "CloseDate": closes_on,
            },
        )
    return org.replace(
        lead,
        {
            "IsConverted": True,
            "Status": _CLOSED,
            "ConvertedDate": moment.to_text(org.now())[:10],
            "ConvertedAccountId": account,
            "ConvertedContactId": contact,
            "ConvertedOpportunityId": deal,
        },
    )
