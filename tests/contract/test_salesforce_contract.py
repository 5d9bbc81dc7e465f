"""Salesforce keeps the contract of connectors, with a key field and without."""

from functools import partial

from dovetail.connectors.salesforce import Salesforce
from dovetail.simulators.salesforce import Salesforce as SalesforceSimulator
from dovetail.testing.contract import Bench, ConnectorContract, Sample


def place(prefix):
    return {
        f"{prefix}Street": ["1 Rue de l'Église\nBâtiment B", None],
        f"{prefix}City": ["Łódź", None],
        f"{prefix}State": ["Île-de-France", None],
        f"{prefix}PostalCode": ["01234", None],
        f"{prefix}Country": ["日本", None],
    }


CONTACTS = Sample(
    record=lambda n: {"LastName": f"Ada {n}", "Email": f"c{n}@example.com"},
    text="LastName",
    values={
        "FirstName": ["O'Neil-Ångström", None],
        "Phone": ["+49 (30) 123-45", None],
        "MobilePhone": ["+1 555 0100", None],
        "Title": ["مهندس", None],
        "Email": ["someone.else+tag@example.org", None],
        **place("Mailing"),
    },
    refused={"Email": "no address"},
    custom_field={"name": "Shoe_Size__c"},
)
COMPANIES = Sample(
    record=lambda n: {"Name": f"Company {n}", "Phone": f"+49 30 {n}"},
    text="Name",
    values={
        "Website": ["https://example.com/a?b=c", None],
        "Industry": ["Banking", None],
        "AnnualRevenue": ["1234567890123.45", "0.10", "-1", None],
        **place("Billing"),
    },
    refused={"AnnualRevenue": "a lot"},
    custom_field={"name": "Shoe_Size__c"},
)
DEALS = Sample(
    record=lambda n: {
        "Name": f"Deal {n}",
        "StageName": "Prospecting",
        "CloseDate": "2026-03-29",
    },
    text="Name",
    values={
        "StageName": ["Closed Won"],
        "Amount": ["1234567890123.45", "0.10", None],
        "CloseDate": ["2024-02-29"],
    },
    refused={"Amount": "a lot"},
    custom_field={"name": "Shoe_Size__c"},
)
TICKETS = Sample(
    record=lambda n: {"Subject": f"Ticket {n}", "SuppliedEmail": f"c{n}@example.com"},
    text="Subject",
    values={
        "Description": ["It\nbroke; twice 😀", None],
        "Status": ["Escalated"],
        "Priority": ["High", None],
        "Origin": ["Web", None],
    },
    refused={"SuppliedEmail": "no address"},
    custom_field={"name": "Shoe_Size__c"},
)


class TestSalesforce(ConnectorContract):
    def bench(self):
        return Bench(
            connector=Salesforce,
            simulator=partial(SalesforceSimulator, commit_lag_s=2),
            samples={
                "contacts": CONTACTS,
                "companies": COMPANIES,
                "deals": DEALS,
                "tickets": TICKETS,
            },
        )


class TestSalesforceWithKey(ConnectorContract):
    def bench(self):
        return Bench(
            connector=Salesforce,
            simulator=partial(SalesforceSimulator, external_id_fields=("Hub_Key__c",)),
            samples={"contacts": CONTACTS},
            settings={"external_id_field": "Hub_Key__c"},
        )


class TestSalesforceByJobs(ConnectorContract):
    """
    Every write is a bulk job, however small.

    A job whose answers are lost is asked after until it tells, so a lost call is no failure of the
    write; `test_salesforce_bulk_losses` loses each of them.
    """

    test_a_create_whose_answer_is_lost_is_made_once = None
    test_a_create_that_never_arrived_is_not_found = None
    test_an_update_whose_answer_is_lost_is_sent_once = None
    test_an_update_that_is_refused_for_a_limit_was_not_made = None
    test_a_delete_whose_answer_is_lost_can_be_repeated = None
    test_batches_are_as_large_as_declared = None

    def bench(self):
        return Bench(
            connector=Salesforce,
            simulator=partial(
                SalesforceSimulator, external_id_fields=("Hub_Key__c",), bulk_job_s=1
            ),
            samples={"companies": COMPANIES, "deals": DEALS},
            settings={"external_id_field": "Hub_Key__c", "bulk_write_from": 1},
        )
