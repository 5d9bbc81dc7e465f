"""
Secrets at rest: an envelope of AES-256-GCM, and the master keys that open it.

Every sealed value has a data key of its own, wrapped by a master key. Changing the master key
re-wraps data keys and touches nothing that they encrypt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dovetail.errors import ConfigError

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_ID_BYTES = 8
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
_PLAIN, _ENVELOPE = b"\x01", b"\x02"


class MasterKey:
    """One key that wraps data keys; its `id` is told, the key itself never."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(
                f"The secret key has {len(key)} bytes and needs {KEY_BYTES}. Make one with "
                "`dovetail secrets new-key`."
            )
        self.id = hashlib.sha256(b"dovetail key id" + key).digest()[:_ID_BYTES]
        self.cipher = AESGCM(key)
        self._key = key

    def __repr__(self) -> str:
        return f"MasterKey({self.id.hex()})"

    @classmethod
    def from_base64(cls, text: str) -> MasterKey:
        """
        Return the key written in base64.

        Raises:
            ConfigError: It is not base64 of 32 bytes.
        """
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except binascii.Error as error:
            raise ConfigError(
                "The secret key is not base64; it must be 32 bytes. Make one with "
                "`dovetail secrets new-key`."
            ) from error

    def to_base64(self) -> str:
        """Return the key for a key file."""
        return base64.b64encode(self._key).decode()


class KeySource:
    """Where master keys come from; the first seals, all of them open."""

    def __init__(self, keys: Sequence[MasterKey]) -> None:
        if not keys:
            raise ConfigError("There is no secret key. Make one with `dovetail secrets new-key`.")
        self._keys = tuple(keys)

    def keys(self) -> tuple[MasterKey, ...]:
        """Return the keys as they are now."""
        return self._keys


def keys_of(text: str) -> list[MasterKey]:
    """
    Return the keys in a text: base64, separated by commas or lines; the first one seals.

    Raises:
        ConfigError: One of them is not a key.
    """
    return [MasterKey.from_base64(part) for part in text.replace(",", "\n").split()]


class SecretBox:
    """
    Seals bytes for an owner, so that they open for no other.

    Format: version byte 2; the master key's id (8 bytes); the data key, wrapped (a 96-bit nonce,
    then ciphertext and tag); a nonce; the ciphertext with its tag. The owner is associated data of
    both (NIST SP 800-38D). Values of version 1, sealed under the master key itself, still open.
    """

    def __init__(self, keys: KeySource | bytes) -> None:
        self._source = KeySource([MasterKey(keys)]) if isinstance(keys, bytes) else keys

    def __repr__(self) -> str:
        return "SecretBox(…)"

    @classmethod
    def from_base64(cls, text: str) -> SecretBox:
        """
        Return the box of keys written in base64 (see `keys_of`).

        Raises:
            ConfigError: One of them is not base64 of 32 bytes.
        """
        return cls(KeySource(keys_of(text)))

    @property
    def key_id(self) -> str:
        """The id of the key that seals now."""
        return self._source.keys()[0].id.hex()

    def seal(self, data: bytes, owner: str) -> bytes:
        """Encrypt for *owner*."""
        data_key = secrets.token_bytes(KEY_BYTES)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        body = AESGCM(data_key).encrypt(nonce, data, owner.encode())
        return _wrap(self._source.keys()[0], data_key, owner) + nonce + body

    def open(self, sealed: bytes, owner: str) -> bytes:
        """
        Decrypt what was sealed for *owner*.

        Raises:
            ConfigError: It was sealed with another key or for another owner, or is damaged.
        """
        try:
            if sealed[:1] == _PLAIN:
                return self._open_plain(sealed, owner)
            data_key, rest = self._unwrap(sealed, owner)
            nonce, body = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
            return AESGCM(data_key).decrypt(nonce, body, owner.encode())
        except (InvalidTag, ValueError) as error:
            raise _cannot_open() from error

    def needs_rewrap(self, sealed: bytes) -> bool:
        """Tell whether a value is sealed under another key than the one that seals now."""
        return sealed_under(sealed) != self.key_id

    def rewrap(self, sealed: bytes, owner: str) -> bytes:
        """
        Return the same value under the key that seals now.

        Raises:
            ConfigError: It cannot be opened with the keys there are.
        """
        if sealed[:1] == _PLAIN:
            return self.seal(self.open(sealed, owner), owner)
        try:
            data_key, rest = self._unwrap(sealed, owner)
        except (InvalidTag, ValueError) as error:
            raise _cannot_open() from error
        return _wrap(self._source.keys()[0], data_key, owner) + rest

    def _unwrap(self, sealed: bytes, owner: str) -> tuple[bytes, bytes]:
        if sealed[:1] != _ENVELOPE:
            raise InvalidTag
        key_id, rest = sealed[1 : 1 + _ID_BYTES], sealed[1 + _ID_BYTES :]
        wrapped, rest = rest[:_WRAPPED_BYTES], rest[_WRAPPED_BYTES:]
        for key in self._source.keys():  # noqa: SIM118 - a source of keys, not a mapping
            if key.id == key_id:
                nonce, data = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
                return key.cipher.decrypt(nonce, data, key_id + owner.encode()), rest
        raise InvalidTag

    def _open_plain(self, sealed: bytes, owner: str) -> bytes:
        nonce, data = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        for key in self._source.keys():  # noqa: SIM118 - a source of keys, not a mapping
            try:
                return key.cipher.decrypt(nonce, data, owner.encode())
            except InvalidTag:
                continue
        raise InvalidTag


def sealed_under(sealed: bytes) -> str | None:
    """Return the id of the key that a value is sealed under; None for version 1, which has none."""
    return sealed[1 : 1 + _ID_BYTES].hex() if sealed[:1] == _ENVELOPE else None


def _wrap(key: MasterKey, data_key: bytes, owner: str) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    wrapped = key.cipher.encrypt(nonce, data_key, key.id + owner.encode())
    return _ENVELOPE + key.id + nonce + wrapped


def _cannot_open() -> ConfigError:
    return ConfigError(
        "Stored credentials cannot be opened with this secret key. Use the key they were stored "
        "with, or connect the platform again."
    )
