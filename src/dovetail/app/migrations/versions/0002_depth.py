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
    _make_refusals()
    _make_token_leases()


def downgrade() -> None:
    """Drop them."""
    op.drop_table("token_leases")
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
