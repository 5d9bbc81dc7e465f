"""The runtime's tables. Moments are whole microseconds since 1970 UTC; documents are JSON."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("business_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("raw", LargeBinary),
    Column("raw_type", Text),
    Column("caused_by", Text),
)

OPEN, DONE, SCHEDULED, DEAD, DISCARDED = range(5)
"""Status of a delivery. OPEN: to be run now or at its retry time. SCHEDULED: sent with a delay."""

STATUS_NAMES = ("open", "done", "scheduled", "dead", "discarded")

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("event_seq", BigInteger, nullable=False, index=True),
    Column("handler", Text, nullable=False),
    Column("business_id", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("error", LargeBinary),
    Column("history", LargeBinary),
)
# Partial indexes: their size is the backlog, not the history, so that claiming stays cheap.
Index(
    "ix_deliveries_open",
    deliveries.c.id,
    sqlite_where=text("status = 0"),
    postgresql_where=text("status = 0"),
)
Index(
    "ix_deliveries_scheduled",
    deliveries.c.due_at,
    sqlite_where=text("status = 2"),
    postgresql_where=text("status = 2"),
)
Index(
    "ix_deliveries_dead",
    deliveries.c.handler,
    deliveries.c.id,
    sqlite_where=text("status = 3"),
    postgresql_where=text("status = 3"),
)

steps = Table(
    "steps",
    metadata,
    Column("delivery_id", BigInteger, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("input_hash", Text, nullable=False),
    Column("result", LargeBinary, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

records = Table(
    "records",
    metadata,
    Column("entity", Text, primary_key=True),
    Column("business_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("last_due_at", BigInteger, nullable=False),
)

sequences = Table(
    "sequences",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("key", Text, primary_key=True),
    Column("state", LargeBinary, nullable=False),
)

credentials = Table(
    "credentials",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

refusals = Table(
    "refusals",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("why", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("probe_at", BigInteger, nullable=False),
    Column("probes", Integer, nullable=False),
    Column("is_told", SmallInteger, nullable=False),
)

token_leases = Table(
    "token_leases",
    metadata,
    Column("connection_id", Text, primary_key=True),
    Column("owner", Text),
    Column("fence", BigInteger, nullable=False),
    Column("saved_fence", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("asked_at", BigInteger),
)
