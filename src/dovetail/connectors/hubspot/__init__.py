"""HubSpot: contacts, companies, deals and tickets of its CRM, read, written and watched."""

from dovetail.connectors.hubspot.connector import HubSpot

__all__ = ["HubSpot"]
