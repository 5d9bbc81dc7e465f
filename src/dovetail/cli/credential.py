"""Where ``dovetail connect`` finds credentials: the environment, standard input, a person."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dovetail.errors import ConfigError, MissingCredentialError, UsageError

if TYPE_CHECKING:
    from dovetail.connector_sdk.base import Connector
    from dovetail.connector_sdk.grant import Grant

TOKEN_WAY = "token"  # noqa: S105 - a way to authorise, not a token
WAYS = {
    "authorization_code": "browser",
    "client_credentials": "client-credentials",
    "jwt_bearer": "jwt",
}
"""The name of a grant -> what ``--auth`` calls it."""

_TOKEN, _WEBHOOK_SECRET, _BASE_URL = "token", "webhook_secret", "base_url"


@dataclass(slots=True)
class Given:
    """What a platform's connection is made of, as far as it is known."""

    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    base_url: str | None = None
    grant: Grant | None = None


def from_environment(platform: str, required: Sequence[str], environ: Mapping[str, str]) -> Given:
    """
    Read ``DOVETAIL_HUBSPOT_TOKEN`` and other credentials by their names.

    ``TOKEN`` is the first credential that the platform requires; ``WEBHOOK_SECRET`` and
    ``BASE_URL`` are what they say; any other name is a credential of that name.
    """
    prefix = f"DOVETAIL_{platform.upper()}_"
    found = {
        name.removeprefix(prefix).lower(): value
        for name, value in environ.items()
        if name.startswith(prefix) and value
    }
    given = Given(webhook_secret=found.pop(_WEBHOOK_SECRET, None))
    given.base_url = found.pop(_BASE_URL, None)
    token = found.pop(_TOKEN, None)
    given.secrets = found
    if token is not None and required:
        given.secrets.setdefault(required[0], token)
    return given


def from_input(name: str) -> str:
    """
    Read one credential from the next line of standard input.

    Raises:
        ConfigError: There is none.
    """
    value = sys.stdin.readline().strip()
    if not value:
        raise ConfigError(f"Standard input holds no {name}: pipe it in, on a line of its own.")
    return value


def complete(platform: str, title: str, required: Sequence[str], given: Given) -> None:
    """
    Ask a person, without echo, for required credentials that are missing.

    Raises:
        MissingCredentialError: There is nobody to ask.
    """
    for position, name in enumerate(required):
        if given.secrets.get(name):
            continue
        variable = f"DOVETAIL_{platform.upper()}_{_TOKEN if position == 0 else name}".upper()
        if not sys.stdin.isatty():
            raise MissingCredentialError(
                f"{title} needs a credential ({name}). Set {variable}, or give it with "
                "--token-stdin, or run this on a terminal, which asks for it.",
                platform=platform,
                variable=variable,
            )
        value = getpass.getpass(f"{title} {name.replace('_', ' ')} (not shown): ").strip()
        if not value:
            raise MissingCredentialError(f"Nothing was given; {title} is not connected.")
        given.secrets[name] = value


def given_for(
    kind: type[Connector],
    way: str | None,
    *,
    token_from_input: bool,
    webhook_secret_from_input: bool,
) -> Given:
    """Return everything that a connection needs, and how its token is got, or raise."""
    token_names = kind.auth.required
    given = from_environment(kind.platform, token_names, os.environ)
    if token_from_input and token_names:
        given.secrets[token_names[0]] = from_input("token")
    if webhook_secret_from_input:
        given.webhook_secret = from_input("webhook secret")
    given.grant = grant_for(kind, way, given.secrets)
    required = given.grant.required if given.grant else token_names
    complete(kind.platform, kind.title, required, given)
    return given


def grant_for(kind: type[Connector], way: str | None, secrets: Mapping[str, str]) -> Grant | None:
    """
    Return the grant that gives the token, None for a token that a person gives.

    Raises:
        UsageError: There is no such way, or the platform does not offer it.
    """
    offered = {WAYS[grant.name]: grant for grant in kind.grants if grant.name in WAYS}
    if way is not None and way != TOKEN_WAY and way not in offered:
        known = ", ".join((TOKEN_WAY, *offered))
        raise UsageError(f"--auth {way}: {kind.title} offers {known}.")
    if way is not None:
        return offered.get(way)
    has_token = any(secrets.get(name) for name in kind.auth.required)
    if has_token or not secrets.get("client_id"):
        return None
    # An app without a token: a key says that it signs for itself, anything else that a person does.
    wished = "jwt" if secrets.get("private_key") else "browser"
    return offered.get(wished)
