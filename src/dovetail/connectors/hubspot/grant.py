"""How HubSpot gives tokens to an app; a private app's token needs none of this."""

from __future__ import annotations

from dovetail.connector_sdk.grant import AuthorizationCode

GRANTS = (
    AuthorizationCode(
        authorize_url="https://app.hubspot.com/oauth/authorize",
        tokens_url="https://api.hubapi.com/oauth/v1/token",
        scopes=(
            "oauth",
            *(
                f"crm.{what}.{name}.{right}"
                for name in ("contacts", "companies", "deals")
                for what in ("objects", "schemas")
                for right in ("read", "write")
            ),
            "tickets",
            "crm.objects.owners.read",
        ),
        pkce=False,  # HubSpot documents no code challenge
    ),
)
