"""The first schema: the runtime's tables and the sync engine's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "credentials",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("business_id", sa.Text(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.LargeBinary(), nullable=True),
        sa.Column("history", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_deliveries_dead",
        "deliveries",
        ["handler", "id"],
        unique=False,
        sqlite_where=sa.text("status = 3"),
        postgresql_where=sa.text("status = 3"),
    )
    op.create_index(op.f("ix_deliveries_event_seq"), "deliveries", ["event_seq"], unique=False)
    op.create_index(
        "ix_deliveries_open",
        "deliveries",
        ["id"],
        unique=False,
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    op.create_index(
        "ix_deliveries_scheduled",
        "deliveries",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("status = 2"),
        postgresql_where=sa.text("status = 2"),
    )
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("business_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("raw_type", sa.Text(), nullable=True),
        sa.Column("caused_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_table(
        "records",
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("business_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "business_id", "id"),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last_due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "sequences",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "steps",
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "name", "repeat"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sync_counters",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "entity", "name"),
    )
    op.create_table(
        "sync_cursors",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("cursor", sa.LargeBinary(), nullable=True),
        sa.Column("swept_to", sa.Text(), nullable=True),
        sa.Column("caught_up_at", sa.BigInteger(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "entity"),
    )
    op.create_table(
        "sync_identities",
        sa.Column("integration_id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("internal_id", sa.Text(), nullable=False),
        sa.Column("natural_key", sa.Text(), nullable=True),
        sa.Column("stamps", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("integration_id", "entity", "internal_id"),
    )
    op.create_index(
        "ux_sync_identities_key",
        "sync_identities",
        ["integration_id", "entity", "natural_key"],
        unique=True,
    )
    op.create_table(
        "sync_intents",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("internal_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("intent_at", sa.BigInteger(), nullable=False),
        sa.Column("fields", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "entity", "internal_id"),
    )
    op.create_table(
        "sync_links",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("integration_id", sa.Text(), nullable=False),
        sa.Column("business_id", sa.Text(), nullable=False),
        sa.Column("internal_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("base", sa.LargeBinary(), nullable=True),
        sa.Column("base_ours", sa.LargeBinary(), nullable=True),
        sa.Column("seen", sa.LargeBinary(), nullable=True),
        sa.Column("sent", sa.LargeBinary(), nullable=True),
        sa.Column("frozen", sa.LargeBinary(), nullable=True),
        sa.Column("refused", sa.LargeBinary(), nullable=True),
        sa.Column("writes", sa.LargeBinary(), nullable=True),
        sa.Column("seen_modified_at", sa.BigInteger(), nullable=True),
        sa.Column("last_written_at", sa.BigInteger(), nullable=True),
        sa.Column("merged_into", sa.Text(), nullable=True),
        sa.Column("mapping_id", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "entity", "external_id"),
    )
    op.create_index(
        "ix_sync_links_internal",
        "sync_links",
        ["internal_id", "connection_id", "entity"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_index("ix_sync_links_internal", table_name="sync_links")
    op.drop_table("sync_links")
    op.drop_table("sync_intents")
    op.drop_index("ux_sync_identities_key", table_name="sync_identities")
    op.drop_table("sync_identities")
    op.drop_table("sync_cursors")
    op.drop_table("sync_counters")
    op.drop_table("steps")
    op.drop_table("sequences")
    op.drop_table("schedules")
    op.drop_table("records")
    op.drop_table("events")
    op.drop_index(
        "ix_deliveries_scheduled",
        table_name="deliveries",
        sqlite_where=sa.text("status = 2"),
        postgresql_where=sa.text("status = 2"),
    )
    op.drop_index(
        "ix_deliveries_open",
        table_name="deliveries",
        sqlite_where=sa.text("status = 0"),
        postgresql_where=sa.text("status = 0"),
    )
    op.drop_index(op.f("ix_deliveries_event_seq"), table_name="deliveries")
    op.drop_index(
        "ix_deliveries_dead",
        table_name="deliveries",
        sqlite_where=sa.text("status = 3"),
        postgresql_where=sa.text("status = 3"),
    )
    op.drop_table("deliveries")
    op.drop_table("credentials")
    op.drop_table("budgets")
