"""Salesforce: companies, contacts, deals and tickets of Sales and Service Cloud."""

from dovetail.connectors.salesforce.connector import Salesforce

__all__ = ["Salesforce"]
