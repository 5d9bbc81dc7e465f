"""Salesforce: contacts of Sales and Service Cloud, read and written."""

from dovetail.connectors.salesforce.connector import Salesforce

__all__ = ["Salesforce"]
