"""The second schema: what workflows, flow control and connections need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _make_workflows()
    _flow_control()
    _make_refusals()
    _add_checks()
    _make_token_leases()
    _make_references()
    _make_child_runs()


def downgrade() -> None:
    """Drop them."""
    op.drop_table("child_runs")
    _drop_workflows()
    _no_flow_control()
    _drop_references()
    op.drop_table("token_leases")
    with op.batch_alter_table("sync_cursors") as table:
        table.drop_column("checked_at")
        table.drop_column("checked_to")
    op.drop_table("refusals")


def _make_refusals() -> None:
    op.create_table(
        "refusals",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("probe_at", sa.BigInteger(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("is_told", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id"),
    )


def _make_token_leases() -> None:
    op.create_table(
        "token_leases",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("saved_fence", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("connection_id"),
    )


def _make_references() -> None:
    with op.batch_alter_table("sync_links") as table:
        table.add_column(sa.Column("awaited", sa.LargeBinary(), nullable=True))
    op.create_table(
        "sync_references",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("target_entity", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("target_id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "connection_id", "target_entity", "side", "target_id", "entity", "record_id"
        ),
    )


def _drop_references() -> None:
    op.drop_table("sync_references")
    with op.batch_alter_table("sync_links") as table:
        table.drop_column("awaited")


def _make_child_runs() -> None:
    op.create_table(
        "child_runs",
        sa.Column("delivery_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("parent_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("is_open", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_index("ix_child_runs_parent", "child_runs", ["parent_id", "is_open"])


def _flow_control() -> None:
    op.add_column(
        "deliveries", sa.Column("starts", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("deliveries", sa.Column("likeness", sa.Text(), nullable=True))
    _open_index("handler", "business_id", "id")
    _dead_index("handler", "likeness", "id")
    op.create_table(
        "throttles",
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("starts", sa.LargeBinary(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("handler", "key"),
    )
    op.create_table(
        "lives",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def _no_flow_control() -> None:
    op.drop_table("lives")
    op.drop_table("throttles")
    _dead_index("handler", "id")
    _open_index("id")
    op.drop_column("deliveries", "likeness")
    op.drop_column("deliveries", "starts")


def _open_index(*columns: str) -> None:
    _replace_partial("ix_deliveries_open", "status = 0", columns)


def _dead_index(*columns: str) -> None:
    _replace_partial("ix_deliveries_dead", "status = 3", columns)


def _replace_partial(name: str, where: str, columns: tuple[str, ...]) -> None:
    op.drop_index(name, table_name="deliveries")
    op.create_index(
        name,
        "deliveries",
        list(columns),
        unique=False,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def _make_workflows() -> None:
    _make_journals()
    op.create_table(
        "run_states",
        sa.Column("delivery_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("phase", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("error", sa.LargeBinary()),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id"),
    )
    op.create_index(
        "ix_run_states_cancelling",
        "run_states",
        ["delivery_id"],
        sqlite_where=sa.text("phase = 1"),
        postgresql_where=sa.text("phase = 1"),
    )
    op.create_table(
        "waits",
        sa.Column("delivery_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("business_id", sa.Text(), nullable=False),
        sa.Column("match", sa.Text(), nullable=False),
        sa.Column("conditions", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "event_type"),
    )
    op.create_index("ix_waits_match", "waits", ["event_type", "business_id", "match"])


def _drop_workflows() -> None:
    op.drop_table("waits")
    op.drop_table("run_states")
    op.create_table(
        "steps_old",
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", "name", "repeat"),
        sqlite_with_rowid=False,
    )
    # The older schema knows neither keys nor other kinds of entries.
    op.execute(
        "INSERT INTO steps_old SELECT delivery_id, name, repeat, input_hash, result, recorded_at"
        " FROM steps WHERE kind = 0 AND key = ''"
    )
    op.drop_table("steps")
    op.rename_table("steps_old", "steps")


def _add_checks() -> None:
    with op.batch_alter_table("sync_cursors") as table:
        table.add_column(sa.Column("checked_to", sa.Text(), nullable=True))
        table.add_column(sa.Column("checked_at", sa.BigInteger(), nullable=True))


def _make_journals() -> None:
    op.create_table(
        "steps_new",
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("input_hash", sa.Text(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("undo", sa.Text()),
        sa.PrimaryKeyConstraint("delivery_id", "kind", "name", "key", "repeat"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO steps_new (delivery_id, kind, name, key, repeat, position, input_hash,"
        " result, started_at, recorded_at) SELECT delivery_id, 0, name, '', repeat,"
        " row_number() OVER (PARTITION BY delivery_id ORDER BY recorded_at, name, repeat),"
        " '', result, recorded_at, recorded_at FROM steps"
    )
    op.drop_table("steps")
    op.rename_table("steps_new", "steps")
