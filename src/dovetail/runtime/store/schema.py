"""The runtime's tables. Moments are whole microseconds since 1970 UTC; documents are JSON."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.event import listens_for

metadata = MetaData()
_partial: list[tuple[Index, str]] = []


def _partial_index(where: str, name: str, *columns: Column[Any]) -> None:
    _partial.append((Index(name, *columns), where))


@listens_for(metadata, "before_create")
def _set_options(_metadata: MetaData, connection: Connection, **_: Any) -> None:
    # Not where they are declared: naming a dialect's option loads the dialect, a fifth of the time
    # that `from dovetail import on` takes for SQLite and PostgreSQL together.
    for index, where in _partial:
        index.dialect_options[connection.dialect.name]["where"] = text(where)
    if connection.dialect.name == "sqlite":
        steps.dialect_options["sqlite"]["with_rowid"] = False


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

OPEN, DONE, SCHEDULED, DEAD, DISCARDED, CANCELLED = range(6)
"""
Status of a delivery. OPEN: to be run now or at its retry time. SCHEDULED: sent with a delay, or a
run that sleeps or waits.
"""

STATUS_NAMES = ("open", "done", "scheduled", "dead", "discarded", "cancelled")

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
    # Starts in a row that ended with the death of the process; see runtime/suspect.py.
    Column("starts", Integer, nullable=False, server_default="0"),
    # What errors like this one have in common; set when the delivery dies.
    Column("likeness", Text),
)
# Partial indexes: their size is the backlog, not the history, so that claiming stays cheap.
_partial_index(
    "status = 0",
    "ix_deliveries_open",
    deliveries.c.handler,
    deliveries.c.business_id,
    deliveries.c.id,
)
_partial_index(
    "status = 2",
    "ix_deliveries_scheduled",
    deliveries.c.due_at,
)
_partial_index(
    "status = 3",
    "ix_deliveries_dead",
    deliveries.c.handler,
    deliveries.c.likeness,
    deliveries.c.id,
)

STEP, SLEEP, WAIT, UNDO, COMMIT, FAILURE, CHILD, CHILD_UNDO = range(8)
"""
Kind of a journal entry. COMMIT: what a run had written when it was suspended. FAILURE: an error
that is raised again, because the run has undone what went before it. CHILD: a run that it has
started, and how that ended.
"""

KIND_NAMES = ("step", "sleep", "wait", "undo", "commit", "failure", "child", "undo")

steps = Table(
    "steps",
    metadata,
    Column("delivery_id", BigInteger, primary_key=True),
    Column("kind", SmallInteger, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("repeat", Integer, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("result", LargeBinary, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    Column("undo", Text),
)

GOING, CANCELLING, COMPENSATING, COMPENSATED, ENDED = range(5)
"""Phase of a run that has been suspended, cancelled or compensated; other runs have no row."""

run_states = Table(
    "run_states",
    metadata,
    Column("delivery_id", BigInteger, primary_key=True, autoincrement=False),
    Column("phase", SmallInteger, nullable=False),
    Column("reason", Text),
    Column("error", LargeBinary),
    Column("updated_at", BigInteger, nullable=False),
)
_partial_index(
    "phase = 1",
    "ix_run_states_cancelling",
    run_states.c.delivery_id,
)

waits = Table(
    "waits",
    metadata,
    Column("delivery_id", BigInteger, primary_key=True, autoincrement=False),
    Column("event_type", Text, primary_key=True),
    Column("business_id", Text, nullable=False),
    Column("match", Text, nullable=False),
    Column("conditions", LargeBinary, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("repeat", Integer, nullable=False),
)
Index("ix_waits_match", waits.c.event_type, waits.c.business_id, waits.c.match)

# Runs that other runs have started: `name`, `key` and `repeat` are the entry in the journal of the
# parent that gets the outcome; `is_open` until it has it.
child_runs = Table(
    "child_runs",
    metadata,
    Column("delivery_id", BigInteger, primary_key=True, autoincrement=False),
    Column("parent_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("repeat", Integer, nullable=False),
    Column("is_open", SmallInteger, nullable=False),
)
Index("ix_child_runs_parent", child_runs.c.parent_id, child_runs.c.is_open)

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

throttles = Table(
    "throttles",
    metadata,
    Column("handler", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("starts", LargeBinary, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
)

# One row per process that runs, taken away as it stops: a row that is found was left by a death.
lives = Table(
    "lives",
    metadata,
    Column("id", Text, primary_key=True),
    Column("began_at", BigInteger, nullable=False),
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
