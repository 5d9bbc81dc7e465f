"""The sync engine's tables, beside the runtime's own. Documents are JSON, moments microseconds."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text

from dovetail.runtime.store.schema import metadata

sync_links = Table(
    "sync_links",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("integration_id", Text, nullable=False),
    Column("business_id", Text, nullable=False),
    Column("internal_id", Text),
    Column("state", Text, nullable=False),
    Column("base", LargeBinary),
    Column("base_ours", LargeBinary),
    Column("seen", LargeBinary),
    Column("sent", LargeBinary),
    Column("frozen", LargeBinary),
    Column("refused", LargeBinary),
    Column("awaited", LargeBinary),
    Column("writes", LargeBinary),
    Column("seen_modified_at", BigInteger),
    Column("last_written_at", BigInteger),
    Column("merged_into", Text),
    Column("mapping_id", Text),
    Column("updated_at", BigInteger, nullable=False),
)
Index(
    "ix_sync_links_internal",
    sync_links.c.internal_id,
    sync_links.c.connection_id,
    sync_links.c.entity,
)

sync_intents = Table(
    "sync_intents",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("internal_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("intent_at", BigInteger, nullable=False),
    Column("fields", LargeBinary, nullable=False),
)

sync_references = Table(
    "sync_references",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("target_entity", Text, primary_key=True),
    Column("side", Text, primary_key=True),
    Column("target_id", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("record_id", Text, primary_key=True),
)

sync_identities = Table(
    "sync_identities",
    metadata,
    Column("integration_id", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("internal_id", Text, primary_key=True),
    Column("natural_key", Text),
    Column("stamps", LargeBinary),
)
Index(
    "ux_sync_identities_key",
    sync_identities.c.integration_id,
    sync_identities.c.entity,
    sync_identities.c.natural_key,
    unique=True,
)

sync_cursors = Table(
    "sync_cursors",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("cursor", LargeBinary),
    Column("swept_to", Text),
    Column("caught_up_at", BigInteger),
    Column("total", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
    Column("checked_to", Text),
    Column("checked_at", BigInteger),
)

sync_counters = Table(
    "sync_counters",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
