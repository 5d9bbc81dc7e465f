"""Secrets: sealed at rest with AES-256-GCM, and never shown."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dovetail.errors import ConfigError

_VERSION = b"\x01"
_KEY_BYTES = 32
_NONCE_BYTES = 12


class SecretBox:
    """
    Seals bytes under one key. What is sealed names its owner, so that it opens for no other.

    Format: one version byte, a random 96-bit nonce, then the AES-256-GCM ciphertext with its tag
    (NIST SP 800-38D); the owner is the associated data.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ConfigError(
                f"The secret key has {len(key)} bytes and needs {_KEY_BYTES}. Make one with "
                '`python -c "import base64,os;print(base64.b64encode(os.urandom(32)).decode())"`.'
            )
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return "SecretBox(…)"

    @classmethod
    def from_base64(cls, text: str) -> SecretBox:
        """
        Return the box of a key written in base64.

        Raises:
            ConfigError: It is not base64 of 32 bytes.
        """
        try:
            return cls(base64.b64decode(text, validate=True))
        except binascii.Error as error:
            raise ConfigError("The secret key is not base64; it must be 32 bytes.") from error

    @classmethod
    def from_file(cls, path: Path) -> SecretBox:
        """
        Return the box of a key file, made (readable by its owner only) when it is missing.

        Raises:
            ConfigError: The file cannot be read or made, or does not hold a key.
        """
        try:
            if not path.exists():
                _make_key_file(path)
            return cls.from_base64(path.read_text().strip())
        except OSError as error:
            raise ConfigError(
                f"The key file {path} cannot be used: {error.strerror}. Make its folder writable, "
                "or give the key as DOVETAIL_SECRET_KEY."
            ) from error

    def seal(self, data: bytes, owner: str) -> bytes:
        """Encrypt for *owner*."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, data, owner.encode())

    def open(self, sealed: bytes, owner: str) -> bytes:
        """
        Decrypt what was sealed for *owner*.

        Raises:
            ConfigError: It was sealed with another key or for another owner, or is damaged.
        """
        nonce, data = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return self._cipher.decrypt(nonce, data, owner.encode())
        except InvalidTag as error:
            raise ConfigError(
                "Stored credentials cannot be opened with this secret key. Use the key they were "
                "stored with, or connect the platform again."
            ) from error


def _make_key_file(path: Path) -> None:
    # O_EXCL: two processes that start together must not each believe in a key of their own.
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n")
