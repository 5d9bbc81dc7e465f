"""Opening the database that a command looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovetail.app.app import App
    from dovetail.core.settings import Settings


def settings_for(database: Path | None = None, **changes: object) -> Settings:
    """Return the settings: from the command line, then the environment, then defaults."""
    from dovetail.core.log import configure_logging
    from dovetail.core.settings import Settings

    settings = Settings.from_env().but(database=database, **changes)
    configure_logging("warning")
    return settings


@asynccontextmanager
async def opened(
    database: Path | None,
    *,
    file: Path | None = None,
    create: bool = False,
    public_url: str | None = None,
) -> AsyncIterator[App]:
    """
    Open an app to look at its state or to change it; nothing is run.

    Args:
        database: As given on the command line.
        file: A program, where its plans are needed.
        create: Make the database when there is none.
        public_url: What platforms call.

    Raises:
        ConfigError: There is no database.
        EnvironmentInUseError: It cannot be opened.
    """
    from dovetail.app.app import App
    from dovetail.errors import ConfigError

    settings = settings_for(database, public_url=public_url)
    if not create and not settings.database.exists():
        raise ConfigError(
            f"There is no database {settings.database}. Name it with --database, or make it with "
            "`dovetail connect` or `dovetail run`.",
            path=str(settings.database),
        )
    app = App(settings=settings) if file is None else App.load(file, settings=settings)
    async with app:
        yield app
