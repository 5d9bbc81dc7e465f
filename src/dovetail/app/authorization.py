"""One question to a person in a browser: what is asked, and what the answer is worth."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

from dovetail.connector_sdk import token_call
from dovetail.connector_sdk.auth import Credentials
from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.grant import AuthorizationCode
from dovetail.core.ports import Ports
from dovetail.errors import AuthenticationError, UnsupportedCapabilityError

_STATE_BYTES, _VERIFIER_BYTES = 24, 48


class Authorization:
    """
    An authorization under way; made anew for each try, so that no answer serves twice.

    Args:
        kind: The connector of the platform.
        client: The app's `client_id` and, where it has one, its `client_secret`.
        base_url: The address of the connection, where it is not the platform's own.
        redirect_uri: Where the browser brings the answer; the platform's app must know it.
    """

    def __init__(
        self,
        kind: type[Connector],
        client: Mapping[str, str],
        *,
        base_url: str | None,
        redirect_uri: str,
    ) -> None:
        found = [grant for grant in kind.grants if isinstance(grant, AuthorizationCode)]
        if not found:
            raise UnsupportedCapabilityError(
                f"{kind.title} has no log-in that a person could use; give a token instead.",
                platform=kind.platform,
            )
        self._grant = found[0]
        self._kind = kind
        self._client = Credentials(client)
        self._base_url = base_url
        self._redirect_uri = redirect_uri
        self._state = secrets.token_urlsafe(_STATE_BYTES)
        self._verifier = secrets.token_urlsafe(_VERIFIER_BYTES)

    @property
    def page(self) -> str:
        """The address that a person opens."""
        return self._grant.page(
            self._base_url,
            self._client.require("client_id"),
            self._redirect_uri,
            self._state,
            self._verifier,
        )

    def code_in(self, answer: Mapping[str, str]) -> str:
        """
        Return the code that the browser brought.

        Raises:
            AuthenticationError: The person said no, or the answer is to another question.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), self._state.encode()):
            raise self._error(
                "The answer belongs to another log-in (its state is not ours), so it was not "
                "used. Close other log-in pages and start again"
            )
        if answer.get("error") == "access_denied":
            raise self._error(
                f"Access to {self._kind.title} was denied on its page. Start again and allow it, "
                "or ask an administrator of the account to"
            )
        if answer.get("error"):
            why = answer.get("error_description") or answer["error"]
            raise self._error(f"{self._kind.title} refused to ask: {why}")
        if not answer.get("code"):
            raise self._error(f"{self._kind.title} sent neither a code nor an error")
        return answer["code"]

    async def exchange(self, code: str, ports: Ports) -> dict[str, str]:
        """
        Turn the code into credentials.

        Raises:
            AuthenticationError: The platform does not accept the code.
            TransientError: It did not answer; a code is good for one try, so start again.
        """
        form = self._grant.exchange(self._client, code, self._redirect_uri, self._verifier)
        return await token_call.ask(
            self._grant,
            form,
            self._client,
            address=self._grant.token_address(self._base_url),
            title=self._kind.title,
            platform=self._kind.platform,
            transport=ports.transport,
            clock=ports.clock,
        )

    def _error(self, what: str) -> AuthenticationError:
        return AuthenticationError(
            f"{what}. Nothing was connected.",
            platform=self._kind.platform,
            operation="log in",
        )
