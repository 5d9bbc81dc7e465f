"""
Two-way sync of contacts between HubSpot and Salesforce. The declaration alone is the program.

    dovetail sandbox hubspot salesforce
    dovetail connect --sandbox http://127.0.0.1:9400
    dovetail run examples/crm_sync.py
"""

from dovetail import Service, ServiceType

crm = Service.create(
    name="CRM sync",
    type=ServiceType.AUTOMATION,
    subtype="integration",
    integration={
        "platforms": ["hubspot", "salesforce"],
        "sync_mode": "bidirectional",
        "entities": ["contacts"],
        "conflict_resolution": "last-write-wins",
        # Webhooks tell of changes at once; the poll behind them finds those that never arrive.
        "schedule": {"realtime": ["contacts"], "poll_interval": "10 seconds"},
    },
    mappings={
        "contact": {
            "hubspot": {
                "firstname": "first_name",
                "lastname": "last_name",
                "email": "email",
                "phone": "phone",
                "jobtitle": "job_title",
                "city": "city",
            },
            "salesforce": {
                "FirstName": "first_name",
                "LastName": "last_name",
                "Email": "email",
                "Phone": "phone",
                "Title": "job_title",
                "MailingCity": "city",
            },
        },
    },
)
