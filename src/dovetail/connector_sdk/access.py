"""Where an `Api` gets the credentials of each request from, and whom it tells of a refusal."""

from __future__ import annotations

from typing import Protocol

from dovetail.connector_sdk.auth import Credentials
from dovetail.errors import AuthenticationError


class Access(Protocol):
    """The credentials of one connection, kept fresh by whoever can."""

    @property
    def credentials(self) -> Credentials:
        """The credentials as they were last known."""
        ...

    async def current(self) -> Credentials:
        """
        Return credentials that should be accepted now.

        Raises:
            AuthenticationError: There are none any more: a person has to connect again.
            TransientError: There will be some once the token endpoint answers.
        """
        ...

    async def renew(self, refused: Credentials) -> bool:
        """
        Get others in place of *refused*, which a call was refused with; False: there are none.

        Raises:
            AuthenticationError: The platform gives none any more.
            TransientError: There may be some later.
        """
        ...

    async def give_up(self, error: AuthenticationError) -> None:
        """Take note that the platform refuses this connection, renewed or not."""
        ...

    async def accept(self) -> None:
        """Take note that a call with these credentials was answered."""
        ...


class FixedAccess:
    """Credentials that nobody can renew: a token that a person gave."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    @property
    def credentials(self) -> Credentials:
        """The credentials."""
        return self._credentials

    async def current(self) -> Credentials:
        """Return the credentials."""
        return self._credentials

    async def renew(self, refused: Credentials) -> bool:
        """Return False."""
        del refused
        return False

    async def give_up(self, error: AuthenticationError) -> None:
        """Do nothing: whoever made the call is told by its error."""

    async def accept(self) -> None:
        """Do nothing."""
