"""The file of master keys: one a line in base64, the first one seals; changed while others read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from dovetail.core.secrets import KEY_BYTES, KeySource, MasterKey, keys_of
from dovetail.core.settings import Settings
from dovetail.errors import ConfigError

_OWNER_ONLY = 0o600


def source_of_keys(settings: Settings, *, lasting: bool) -> KeySource:
    """
    Return the keys that the settings name; without any, a file beside the database.

    Args:
        settings: Say where.
        lasting: Whether what is sealed outlives the process: a key of the moment will do if not.
    """
    if settings.secret_key:
        return KeySource(keys_of(settings.secret_key))
    if settings.secret_key_file:
        return KeyFile(settings.secret_key_file)
    if not lasting:
        return KeySource([MasterKey(os.urandom(KEY_BYTES))])
    return KeyFile(settings.database.with_name(settings.database.name + ".key"))


class KeyFile(KeySource):
    """
    The keys in a file, read again whenever the file was changed.

    A process that runs while keys are rotated seals with the new key as soon as it is there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_at: tuple[int, int, int] | None = None
        try:
            if not path.exists():
                _make(path)
            super().__init__(self._read())
        except OSError as error:
            raise ConfigError(
                f"The key file {path} cannot be used: {error.strerror}. Make its folder writable, "
                "or give the key as DOVETAIL_SECRET_KEY."
            ) from error

    def keys(self) -> tuple[MasterKey, ...]:
        """Return the keys as the file has them; those read before while it cannot be read."""
        # A file that vanished or is being replaced stops nothing: the known keys still open.
        with suppress(OSError, ConfigError):
            if self._stamp() != self._read_at:
                self._keys = tuple(self._read()) or self._keys
        return self._keys

    def add(self, key: MasterKey) -> None:
        """Let *key* seal from now on; the others still open."""
        self.replace([key, *self.keys()])

    def replace(self, keys: Sequence[MasterKey]) -> None:
        """Put these keys into the file, all at once: a reader sees the old ones or the new."""
        draft = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(handle, "w") as file:
            file.write("".join(f"{key.to_base64()}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)
        _sync_folder(self.path.parent)

    def _read(self) -> list[MasterKey]:
        self._read_at = self._stamp()
        return keys_of(self.path.read_text())

    def _stamp(self) -> tuple[int, int, int]:
        found = self.path.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size


def new_key() -> MasterKey:
    """Return a new random key."""
    return MasterKey(secrets.token_bytes(KEY_BYTES))


def _make(path: Path) -> None:
    # Written aside and linked: two processes that start together must not each believe in a key
    # of their own, and neither may read a file that the other has only begun.
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(new_key().to_base64() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
