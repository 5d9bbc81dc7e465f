"""How HubSpot gives tokens to an app; a private app's token needs none of this."""

from __future__ import annotations

from dovetail.connector_sdk.grant import AuthorizationCode

GRANTS = (
    AuthorizationCode(
        authorize_url="https://app.hubspot.com/oauth/authorize",
        tokens_url="https://api.hubapi.com/oauth/v1/token",
        scopes=(
            "oauth",
            "crm.objects.contacts.read",
            "crm.objects.contacts.write",
            "crm.schemas.contacts.read",
            "crm.schemas.contacts.write",
        ),
        pkce=False,  # HubSpot documents no code challenge
    ),
)
