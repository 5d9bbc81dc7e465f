"""JWT bearer: an assertion that the application signs with the key it has registered."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from dovetail.core import json
from dovetail.simulators.salesforce.session import OAuthError

_PARTS = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """What a good assertion says."""

    client_id: str
    username: str
    audiences: Collection[str]
    public_key: str | None


def check_assertion(text: str, expected: Expected, now: datetime) -> None:
    """
    Let an assertion pass that the application signed for this user and host.

    Raises:
        OAuthError: In the platform's words.
    """
    parts = text.split(".")
    if len(parts) != _PARTS:
        raise _invalid()
    header, claims = _object(parts[0]), _object(parts[1])
    if claims.get("iss") != expected.client_id:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if header.get("alg") != "RS256" or not _is_signed(parts, expected.public_key):
        raise _invalid()
    if claims.get("aud") not in expected.audiences:
        raise OAuthError("invalid_grant", "audience is invalid")
    # Clients send the end as a number or as a text of digits.
    ends_at = str(claims.get("exp", "")).partition(".")[0]
    if not ends_at.isdecimal() or int(ends_at) <= now.timestamp():
        raise _invalid()
    if claims.get("sub") != expected.username:
        raise OAuthError("invalid_grant", "user hasn't approved this consumer")


def _is_signed(parts: list[str], public_key: str | None) -> bool:
    key = _read_key(public_key)
    if key is None:
        return False
    try:
        signed = f"{parts[0]}.{parts[1]}".encode()
        key.verify(_decode(parts[2]), signed, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _read_key(pem: str | None) -> RSAPublicKey | None:
    if pem is None:
        return None
    try:
        if "CERTIFICATE" in pem:
            key: Any = x509.load_pem_x509_certificate(pem.encode()).public_key()
        else:
            key = load_pem_public_key(pem.encode())
    except ValueError:
        return None
    return key if isinstance(key, RSAPublicKey) else None


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.decode(_decode(part))
    except ValueError as exc:
        raise _invalid() from exc
    if not isinstance(value, dict):
        raise _invalid()
    return value


def _decode(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise _invalid() from exc


def _invalid() -> OAuthError:
    return OAuthError("invalid_grant", "invalid assertion")
