"""How HubSpot signs the webhooks it sends: three versions, of which new receivers use v3."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

_DECODED = re.compile(r"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)


def sign_v1(secret: str, body: bytes) -> str:
    """Return the hex SHA-256 of secret and body."""
    return hashlib.sha256(secret.encode() + body).hexdigest()


def sign_v2(secret: str, method: str, uri: str, body: bytes) -> str:
    """Return the hex SHA-256 of secret, method, URI and body."""
    return hashlib.sha256((secret + method + uri).encode() + body).hexdigest()


def sign_v3(secret: str, method: str, uri: str, body: bytes, timestamp: str) -> str:
    """Return the base64 HMAC-SHA256 of method, URI, body and timestamp (milliseconds)."""
    signed = (method + decode_uri(uri)).encode() + body + timestamp.encode()
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def decode_uri(uri: str) -> str:
    """Return the URI without fragment and with the twelve escapes decoded that v3 decodes."""
    return _DECODED.sub(lambda found: chr(int(found[1], 16)), uri.partition("#")[0])
