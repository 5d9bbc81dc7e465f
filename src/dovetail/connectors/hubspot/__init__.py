"""HubSpot: contacts of its CRM, read, written and watched."""

from dovetail.connectors.hubspot.connector import HubSpot

__all__ = ["HubSpot"]
