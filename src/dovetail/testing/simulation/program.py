"""The program of a world that brings none: contacts kept in agreement."""

from __future__ import annotations

from dovetail.service.declaration import Service, ServiceType
from dovetail.testing.simulation.world import World

_MAPPINGS = {
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
}


def crm_sync(world: World) -> Service:
    """Return the service of a world."""
    return Service.create(
        name="Simulated sync",
        type=ServiceType.AUTOMATION,
        subtype="integration",
        integration={
            "platforms": list(world.platforms),
            "sync_mode": "bidirectional",
            "entities": ["contacts"],
            "conflict_resolution": world.policy,
            "deletes": world.deletes,
            "schedule": {
                "realtime": ["contacts"],
                "poll_interval": f"{world.poll_interval_s:g} seconds",
            },
        },
        mappings={"contact": {name: _MAPPINGS[name] for name in world.platforms}},
    )
