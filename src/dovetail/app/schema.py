"""
The database schema: Alembic migrations, run by the app before it opens the store.

Alembic is only imported when there is something to migrate: it costs a third of the start-up.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from dovetail import entities
from dovetail.errors import EnvironmentInUseError
from dovetail.model.entity import Entity
from dovetail.runtime.record_table import ensure_indexes
from dovetail.runtime.store.port import Tx

HEAD = "0002"
"""The newest migration; a test holds it to the folder."""

_FOLDER = Path(__file__).parent / "migrations"


def ensure_shipped_indexes(tx: Tx) -> None:
    """Create the indexes that the entities of Dovetail declare."""
    found = (getattr(entities, name) for name in entities.__all__)
    kinds = (one for one in found if isinstance(one, type) and issubclass(one, Entity))
    ensure_indexes(tx, [kind for kind in kinds if kind is not Entity])


def current_revision(connection: sa.Connection) -> str | None:
    """Return the migration the database is at, or None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(found) if found is not None else None


def upgrade(connection: sa.Connection) -> str | None:
    """
    Bring the database to `HEAD`; return where it was.

    Raises:
        EnvironmentInUseError: It was made by a newer version of Dovetail.
    """
    before = current_revision(connection)
    if before == HEAD:
        return before
    if before is not None and before > HEAD:
        raise EnvironmentInUseError(
            f"The database is at schema {before}, which is newer than this version's {HEAD}. "
            "Upgrade Dovetail, or use another database.",
            found=before,
            known=HEAD,
        )
    if before is not None and before not in _revisions():
        raise EnvironmentInUseError(
            f"The database says that it is at schema {before!r}, which is not one of Dovetail's. "
            "Restore a backup, or use another database.",
            found=before,
            known=HEAD,
        )
    from alembic import command  # noqa: PLC0415 - see the module docstring
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before


def _revisions() -> set[str]:
    return {path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*.py")}
