"""HubSpot CRM v3: contacts, companies, deals, tickets, properties, owners, webhooks, OAuth."""

from dovetail.simulators.hubspot.simulator import HubSpotSimulator

__all__ = ["HubSpotSimulator"]
