"""How a connector proves who it speaks for: credentials, and how a request shows them."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from dovetail.core.log import REDACTED, redact_text
from dovetail.errors import MissingCredentialError

# Shorter values would blank out ordinary words and numbers of a message.
_SECRET_LENGTH = 6
# Kept beside the secrets, and no secrets: messages must be able to say them.
_OPEN = frozenset({"grant", "scope", "expires_at", "renew_at"})


class Credentials(Mapping[str, str]):
    """The credentials of one connection. They are read by name and never shown."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={REDACTED}" for name in self._values)
        return f"Credentials({shown})"

    def require(self, name: str) -> str:
        """
        Return a credential that must be there.

        Raises:
            MissingCredentialError: It is missing or empty.
        """
        value = self._values.get(name)
        if not value:
            raise MissingCredentialError(
                f"The connection has no {name}. Give it with `dovetail connect PLATFORM`.",
                credential=name,
            )
        return value

    def redact(self, text: str) -> str:
        """Return the text without these credentials, and without what looks like others."""
        secrets = (value for name, value in self._values.items() if name not in _OPEN)
        # Longest first: a secret that begins with another one must go whole.
        for value in sorted(secrets, key=len, reverse=True):
            # An address is no secret, and messages must be able to name it.
            if len(value) >= _SECRET_LENGTH and not value.startswith(("http://", "https://")):
                text = text.replace(value, REDACTED).replace(quote(value, safe=""), REDACTED)
        return redact_text(text)

    def redact_any(self, value: Any) -> Any:
        """Return a value with the texts in it redacted."""
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, dict):
            return {name: self.redact_any(item) for name, item in value.items()}
        return value


class Auth(ABC):
    """How requests are authenticated; a connector class declares one as a value."""

    @property
    @abstractmethod
    def required(self) -> tuple[str, ...]:
        """The names of the credentials without which no call can be made."""

    @abstractmethod
    async def headers(self, credentials: Credentials) -> dict[str, str]:
        """
        Return the headers that authenticate one request.

        Raises:
            MissingCredentialError: A required credential is missing.
        """


class BearerToken(Auth):
    """``Authorization: Bearer``: a private token, or one that OAuth gave (see `grant`)."""

    def __init__(self, credential: str = "access_token") -> None:
        self._credential = credential

    @property
    def required(self) -> tuple[str, ...]:
        """The token."""
        return (self._credential,)

    async def headers(self, credentials: Credentials) -> dict[str, str]:
        """Return the Authorization header."""
        return {"Authorization": f"Bearer {credentials.require(self._credential)}"}


class ApiKey(Auth):
    """A key in a header of the platform's own: ``X-Api-Key: …``."""

    def __init__(self, header: str, credential: str = "api_key") -> None:
        self._header = header
        self._credential = credential

    @property
    def required(self) -> tuple[str, ...]:
        """The key."""
        return (self._credential,)

    async def headers(self, credentials: Credentials) -> dict[str, str]:
        """Return the platform's header."""
        return {self._header: credentials.require(self._credential)}


class Basic(Auth):
    """``Authorization: Basic`` (RFC 7617); some platforms take a key as the name, or as both."""

    def __init__(self, username: str = "username", password: str | None = "password") -> None:  # noqa: S107 - names
        self._username = username
        self._password = password

    @property
    def required(self) -> tuple[str, ...]:
        """The name, and the password where there is one."""
        return (self._username, *((self._password,) if self._password else ()))

    async def headers(self, credentials: Credentials) -> dict[str, str]:
        """Return the Authorization header."""
        return {
            "Authorization": basic(
                credentials.require(self._username),
                credentials.require(self._password) if self._password else "",
            )
        }


def basic(username: str, password: str) -> str:
    """Return the value of an Authorization header."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"
