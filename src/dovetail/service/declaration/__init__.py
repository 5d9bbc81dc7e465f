"""What a user declares: services, their integrations, mappings, routing and pricing."""

from dovetail.service.declaration.explanation import Section, explain
from dovetail.service.declaration.integration import (
    ConflictResolution,
    Deletes,
    IntegrationConfig,
    Schedule,
    SyncBy,
    SyncMode,
)
from dovetail.service.declaration.load import load_services
from dovetail.service.declaration.mapping import EntityMappings, FieldMapping, Mappings
from dovetail.service.declaration.service import Service, ServiceType, SyncedEntity

__all__ = [
    "ConflictResolution",
    "Deletes",
    "EntityMappings",
    "FieldMapping",
    "IntegrationConfig",
    "Mappings",
    "Schedule",
    "Section",
    "Service",
    "ServiceType",
    "SyncBy",
    "SyncMode",
    "SyncedEntity",
    "explain",
    "load_services",
]
