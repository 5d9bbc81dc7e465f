"""The runtime's own records: what binds a tenant to platforms, and what the sync did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from dovetail.model.entity import Entity
from dovetail.model.event import EventName


class PlatformBinding(msgspec.Struct, kw_only=True):
    """One platform of an integration: whether it takes part, and through which connection."""

    name: str
    enabled: bool = True
    connection_id: str | None = None


class Integration(Entity):
    """Binds a service to a tenant."""

    __indexes__ = ("name", "type", "service")
    __emits__ = False

    name: str | None = None
    service: str | None = None
    type: str | None = None
    status: str | None = None
    platforms: list[PlatformBinding] = []
    sync_mode: str | None = None
    conflict_resolution: str | None = None
    last_sync: datetime | None = None
    store_id: str | None = None
    settings: dict[str, Any] = {}

    error = EventName()


class Connection(Entity):
    """One authorised account on a platform. Credentials are kept apart, encrypted."""

    __indexes__ = ("platform",)
    __emits__ = False

    platform: str | None = None
    account: str | None = None
    base_url: str | None = None
    status: str | None = None
    status_reason: str | None = None
    settings: dict[str, Any] = {}


class IntegrationMapping(Entity):
    """Our record is that record over there (the link, as handlers see it)."""

    __indexes__ = (
        ("integration_id", "internal_id"),
        ("integration_id", "platform", "external_id"),
    )
    __emits__ = False

    integration_id: str | None = None
    internal_id: str | None = None
    external_id: str | None = None
    platform: str | None = None
    entity_type: str | None = None
    direction: str | None = None
    synced_at: datetime | None = None
    synced_version: int | None = None


class SyncActivity(Entity):
    """One record was synced: where to, with which outcome."""

    __indexes__ = ("entity_id", "integration_id")
    __emits__ = False

    integration_id: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    direction: str | None = None
    platforms: list[dict[str, Any]] = []
    timestamp: datetime | None = None


class SyncError(Entity):
    """One record could not be synced, and why."""

    __indexes__ = ("integration_id",)
    __emits__ = False

    integration_id: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    external_id: str | None = None
    platform: str | None = None
    error: str | None = None
    code: str | None = None
    timestamp: datetime | None = None


class SyncConflict(Entity):
    """
    Two sides changed one field to different values, or two records claim to be one.

    `kind` is "field" or "identity"; `status` is "pending-review", "resolved" (by policy, at once)
    or "closed" (by a person, or because the sides came to agree).
    """

    __indexes__ = ("integration_id", "entity_id", "status")
    __emits__ = False

    integration_id: str | None = None
    kind: str | None = None
    entity_type: str | None = None
    entity_id: str | None = None
    external_id: str | None = None
    platform: str | None = None
    field: str | None = None
    local_data: Any = None
    external_data: Any = None
    local_changed_at: datetime | None = None
    external_changed_at: datetime | None = None
    policy: str | None = None
    winner: str | None = None
    status: str | None = None
    resolved_at: datetime | None = None


class SyncOperation(Entity):
    """The recorded result of an idempotent operation."""

    __indexes__ = ("idempotency_key",)
    __emits__ = False

    idempotency_key: str | None = None
    operation: str | None = None
    input_hash: str | None = None
    result: Any = None
    timestamp: datetime | None = None


class InventorySync(Entity):
    """One change of stock that was sent to a store."""

    __indexes__ = ("sku",)
    __emits__ = False

    integration_id: str | None = None
    sku: str | None = None
    platform: str | None = None
    previous_quantity: int | None = None
    new_quantity: int | None = None
    change: int | None = None
    timestamp: datetime | None = None


class EventRouting(Entity):
    """The routing rules of a tenant."""

    __emits__ = False

    name: str | None = None
    active: bool | None = None
    rules: list[dict[str, Any]] = []

    error = EventName()


class EventRoute(Entity):
    """One delivery of one event to one destination."""

    __indexes__ = ("event_id",)
    __emits__ = False

    event_id: str | None = None
    event_type: str | None = None
    source: str | None = None
    destination: str | None = None
    rule_id: str | None = None
    status: str | None = None
    timestamp: datetime | None = None
