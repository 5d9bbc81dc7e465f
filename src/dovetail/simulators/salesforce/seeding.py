"""Puts people into an org as they would have got there over the years."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dovetail.simulator_sdk.people import Person
from dovetail.simulators.salesforce import moment
from dovetail.simulators.salesforce.org import Org
from dovetail.simulators.salesforce.refusal import SalesforceError
from dovetail.simulators.salesforce.sobject import SObject
from dovetail.simulators.salesforce.value import clean


class Seeder:
    """
    Inserts contacts and the accounts they work for.

    Args:
        org: Where to.
        settle: Shows at once to queries what an object holds.
    """

    def __init__(self, org: Org, settle: Callable[[SObject], None]) -> None:
        self._org = org
        self._settle = settle
        self._account_ids: dict[str, str] = {}

    def add(self, person: Person) -> None:
        """Insert a contact, and the account of the company if it is a new one."""
        contact = self._org.sobject("Contact")
        created = moment.to_text(person.created_at)
        values = _clean_known(contact, person.values())
        if person.company_name is not None:
            values["AccountId"] = self._account_of(person.company_name, created)
        modified = moment.to_text(person.modified_at)
        self._org.insert("Contact", values, at=created, modified_at=modified)
        self._settle(contact)

    def _account_of(self, company: str, created: str) -> str:
        if company not in self._account_ids:
            row = self._org.insert("Account", {"Name": company}, at=created)
            self._account_ids[company] = row["Id"]
            self._settle(self._org.sobject("Account"))
        return self._account_ids[company]


def _clean_known(sobject: SObject, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that the platform would have kept, without those it would refuse."""
    kept = {}
    for column, value in values.items():
        field = sobject.find(sobject.columns.get(column, ""))
        if field is None:
            continue
        try:
            kept[field.name] = clean(field, value)
        except SalesforceError:
            continue
    return kept
