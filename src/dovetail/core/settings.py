"""Settings of a process: from the command line, then the environment, then defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from dovetail.errors import ConfigError

_PREFIX = "DOVETAIL_"
_PATHS = {"secret_key_file": Path}  # its default, None, does not tell what it is


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What may differ between machines.

    Args:
        database: The SQLite file.
        host: Where webhooks are received.
        port: Where webhooks are received; 0 takes any free one.
        public_url: What platforms call, when a proxy or tunnel stands in front.
        secret_key: 32 bytes in base64 that seal credentials; more keys after a comma only open.
        secret_key_file: A file of such keys, one a line. Without either, a key file beside the
            database is made and used.
        max_body_bytes: Largest webhook body that is read.
        concurrency: Handler runs at the same time at most; 128 while they keep the processor
            busy.
        shutdown_s: How long running handlers may go on after a stop was asked for.
        log_level: debug, info, warning or error.
        busy_s: How long to wait for another process that holds the database.
        keep_days: How long events are kept, with their runs, once everything is done with them;
            0 keeps them for ever.
        keep_steps_days: How long the steps and past failures of finished runs are kept; 0 keeps
            them as long as their events.
        metrics_tenants: Count tenants apart at ``/metrics``; each is then a series of its own.
    """

    database: Path = Path("dovetail.db")
    host: str = "127.0.0.1"
    port: int = 8787
    public_url: str | None = None
    secret_key: str | None = None
    secret_key_file: Path | None = None
    max_body_bytes: int = 1024 * 1024
    concurrency: int = 1024
    shutdown_s: float = 10.0
    log_level: str = "info"
    busy_s: float = 10.0
    keep_days: float = 30.0
    keep_steps_days: float = 30.0
    metrics_tenants: bool = False

    def __repr__(self) -> str:
        return f"Settings(database={self.database}, host={self.host}, port={self.port})"

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """
        Read ``DOVETAIL_DATABASE``, ``DOVETAIL_PORT`` and so on.

        Raises:
            ConfigError: A value cannot be read; names the variable.
        """
        found = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for field in fields(cls):
            name = _PREFIX + field.name.upper()
            text = found.get(name)
            if text is None or text == "":
                continue
            values[field.name] = _read(name, text, _PATHS.get(field.name, type(field.default)))
        return cls(**values)

    def but(self, **changes: Any) -> Self:
        """Return a copy with the changes that are not None."""
        return replace(
            self, **{name: value for name, value in changes.items() if value is not None}
        )

    @property
    def webhook_base(self) -> str:
        """The URL that platforms call, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def _read(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        return _read_bool(name, text)
    try:
        if kind in (int, float):
            return kind(text)
    except ValueError as error:
        raise ConfigError(
            f"{name}={text!r} is not a number. Correct the variable or unset it."
        ) from error
    return Path(text) if issubclass(kind, Path) else text


def _read_bool(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ConfigError(
        f"{name}={text!r} is neither true nor false. Correct the variable or unset it."
    )
