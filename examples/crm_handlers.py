"""
The CRM sync written by hand: what the declaration of `crm_sync.py` does by itself, as handlers.

``sync_by: handlers`` leaves the syncing to the functions below. They show the whole surface that
a program of one's own uses: records, events, platform calls, a schedule.

    dovetail run examples/crm_handlers.py
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dovetail import Service, ServiceType, db, every, now, on, platform, send
from dovetail.entities import (
    Contact,
    Integration,
    IntegrationMapping,
    PlatformBinding,
    PlatformRecord,
    SyncActivity,
    SyncConflict,
    SyncError,
)
from dovetail.errors import PermanentError

crm = Service.create(
    name="Multi-Platform CRM Sync by hand",
    type=ServiceType.AUTOMATION,
    subtype="integration",
    integration={
        "platforms": ["salesforce", "hubspot"],
        "sync_mode": "bidirectional",
        "sync_by": "handlers",
        "entities": ["contacts"],
        "conflict_resolution": "last-write-wins",
    },
    mappings={
        "contact": {
            "salesforce": {
                "FirstName": "first_name",
                "LastName": "last_name",
                "Email": "email",
                "Phone": "phone",
            },
            "hubspot": {
                "firstname": "first_name",
                "lastname": "last_name",
                "email": "email",
                "phone": "phone",
            },
        },
    },
)


@dataclass
class Conflict:
    """A record that was changed over there since it was last synced, to something else."""

    platform: str
    external_id: str
    external_updated_at: datetime
    external_data: dict[str, Any]


# --- a contact was created, on whichever platform, or here ---


@on(Contact.created)
async def contact_created(contact: Contact) -> None:
    integration = await db.find_one(Integration, type="crm", status="active")
    if integration is None:
        return

    sync_results: list[dict[str, Any]] = []
    try:
        # Get all enabled platforms
        platforms = [binding for binding in integration.platforms if binding.enabled]
        for target in platforms:
            # Skip source platform
            if target.name == contact.source_platform:
                continue
            try:
                # Map the fields and create over there; a person who is there already is updated,
                # not doubled. The call is a step: a crash after it does not repeat it.
                external = await platform(target.name).contacts.upsert(contact)
                # Store mapping for future syncs
                await remember(integration, contact, external, "outbound")
                sync_results.append(
                    {"platform": target.name, "success": True, "external_id": external.id}
                )
            except PermanentError as error:
                # What may succeed later (a limit, an outage) is not caught: the runtime repeats it.
                sync_results.append(
                    {"platform": target.name, "success": False, "error": error.message}
                )
                await log_sync_error(integration, contact.id, target.name, error)

        # Record sync activity
        await db.create(
            SyncActivity,
            integration_id=integration.id,
            entity_type="contact",
            entity_id=contact.id,
            direction="outbound",
            platforms=sync_results,
            timestamp=now(),
        )
    except PermanentError as error:
        await send(
            Integration.error,
            integration_id=integration.id,
            error=error.message,
            context={"contact_id": contact.id},
        )


# --- a contact was updated ---


@on(Contact.updated)
async def contact_updated(contact: Contact) -> None:
    integration = await db.find_one(Integration, type="crm", status="active")
    if integration is None:
        return

    # Get all mappings for this contact
    mappings = await db.query(
        IntegrationMapping,
        integration_id=integration.id,
        internal_id=contact.id,
        entity_type="contact",
    )

    # Update in all platforms
    for mapping in mappings:
        try:
            target = find_platform(integration, mapping.platform)
            if target is None or not target.enabled or mapping.external_id is None:
                continue
            external = await platform(target.name).contacts.get(mapping.external_id)
            mine = crm.mappings.contact[target.name].outbound(contact)
            if all(same(external.fields.get(name), value) for name, value in mine.items()):
                # It holds these values already: most often because they came from there. Writing
                # them again would look like a change, and come back.
                await note_sync(mapping, external, contact)
                continue

            # Check for conflicts
            if mapping.synced_at is not None and external.updated_at > mapping.synced_at:
                conflict = Conflict(target.name, external.id, external.updated_at, external.values)
                await handle_conflict(integration, mapping, conflict, contact)
                continue

            # Map and update
            written = await platform(target.name).contacts.update(mapping.external_id, contact)

            # Update mapping timestamp
            await note_sync(mapping, written, contact)
        except PermanentError as error:
            await log_sync_error(integration, contact.id, mapping.platform, error)


async def handle_conflict(
    integration: Integration, mapping: IntegrationMapping, conflict: Conflict, contact: Contact
) -> None:
    there = platform(conflict.platform).contacts
    match integration.conflict_resolution:
        case "last-write-wins":
            # Use most recently updated version
            if contact.updated_at is None or conflict.external_updated_at > contact.updated_at:
                # External version is newer, update local
                await db.update(Contact, contact.id, **conflict.external_data)
            else:
                # Local version is newer, update external
                await note_sync(mapping, await there.update(conflict.external_id, contact), contact)
        case "manual-review":
            # Flag for manual review
            await db.create(
                SyncConflict,
                integration_id=integration.id,
                kind="field",
                entity_type="contact",
                entity_id=contact.id,
                external_id=conflict.external_id,
                local_data=crm.mappings.contact[conflict.platform].outbound(contact),
                external_data=conflict.external_data,
                platform=conflict.platform,
                status="pending-review",
            )
        case "prefer-external":
            # Always use external version
            await db.update(Contact, contact.id, **conflict.external_data)
        case "prefer-internal":
            # Always use internal version
            await note_sync(mapping, await there.update(conflict.external_id, contact), contact)


# --- batch sync from external platforms ---


@every("*/15 * * * *")
async def batch_sync() -> None:
    integrations = await db.query(
        Integration,
        where={
            "type": "crm",
            "status": "active",
            "sync_mode": {"in": ["bidirectional", "inbound"]},
        },
    )
    for integration in integrations:
        try:
            await sync_from_platforms(integration)
        except PermanentError as error:
            await send(Integration.error, integration_id=integration.id, error=error.message)


async def sync_from_platforms(integration: Integration) -> None:
    # The moment before the first read, not after the last: what changes meanwhile comes next time.
    started = now()
    for source in integration.platforms:
        if not source.enabled:
            continue
        # Fetch updates since last sync
        async for update in platform(source.name).contacts.changes(since=integration.last_sync):
            # Find mapping
            mapping = await db.find_one(
                IntegrationMapping,
                integration_id=integration.id,
                external_id=update.id,
                platform=source.name,
                entity_type="contact",
            )
            if update.deleted:
                continue
            if mapping is not None and mapping.internal_id is not None:
                if mapping.synced_at is not None and update.updated_at <= mapping.synced_at:
                    # Our own write, or what we have read before: taking its values again would
                    # undo what another platform has changed since.
                    continue
                # Update existing contact; equal values change nothing and send nothing
                contact = await db.update(Contact, mapping.internal_id, **update.values)
                await note_sync(mapping, update, contact)
            else:
                contact = await find_or_create(update.values, source.name)
                # Create mapping
                await remember(integration, contact, update, "inbound")
    # Update last sync time
    await db.update(Integration, integration.id, last_sync=started)


async def find_or_create(values: dict[str, Any], source: str) -> Contact:
    email = values.get("email")
    if email:
        # The same person may have come from another platform a moment ago.
        known = await db.find_one(Contact, email=email.lower())
        if known is not None:
            return known
        values = {**values, "email": email.lower()}
    return await db.create(Contact, source_platform=source, **values)


# --- small pieces ---


async def remember(
    integration: Integration, contact: Contact, record: PlatformRecord, direction: str
) -> None:
    known = await db.find_one(
        IntegrationMapping,
        integration_id=integration.id,
        internal_id=contact.id,
        platform=record.platform,
        entity_type="contact",
    )
    if known is not None:
        await note_sync(known, record, contact)
        return
    await db.create(
        IntegrationMapping,
        integration_id=integration.id,
        internal_id=contact.id,
        external_id=record.id,
        platform=record.platform,
        entity_type="contact",
        direction=direction,
        synced_at=record.updated_at,
        synced_version=contact.version,
    )


async def note_sync(mapping: IntegrationMapping, record: PlatformRecord, contact: Contact) -> None:
    # The platform's own time of the change, so that its clock is only compared with itself.
    await db.update(mapping, synced_at=record.updated_at, synced_version=contact.version)


async def log_sync_error(
    integration: Integration, contact_id: str, name: str | None, error: PermanentError
) -> None:
    await db.create(
        SyncError,
        integration_id=integration.id,
        entity_type="contact",
        entity_id=contact_id,
        platform=name,
        error=error.message,
        code=error.code,
        timestamp=now(),
    )


def find_platform(integration: Integration, name: str | None) -> PlatformBinding | None:
    return next((one for one in integration.platforms if one.name == name), None)


def same(theirs: Any, ours: Any) -> bool:
    return (theirs or None) == (ours or None)
