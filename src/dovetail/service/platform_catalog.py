"""The platforms that a declaration may name, whether or not a connector for them exists yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dovetail.core.extension import CONNECTORS, extensions

Kind = Literal[
    "crm",
    "ecommerce",
    "payment",
    "marketing",
    "accounting",
    "support",
    "social",
    "routing",
    "generic",
]
"""What a service is about; the `type` of its Integration records."""


@dataclass(frozen=True, slots=True)
class Platform:
    """An outside system: its name in declarations, its own spelling, and what it is for."""

    name: str
    title: str
    kind: Kind


PLATFORMS: dict[str, Platform] = {
    platform.name: platform
    for platform in (
        Platform("salesforce", "Salesforce", "crm"),
        Platform("hubspot", "HubSpot", "crm"),
        Platform("zendesk", "Zendesk", "support"),
        Platform("intercom", "Intercom", "support"),
        Platform("freshdesk", "Freshdesk", "support"),
        Platform("shopify", "Shopify", "ecommerce"),
        Platform("woocommerce", "WooCommerce", "ecommerce"),
        Platform("magento", "Magento", "ecommerce"),
        Platform("bigcommerce", "BigCommerce", "ecommerce"),
        Platform("stripe", "Stripe", "payment"),
        Platform("paypal", "PayPal", "payment"),
        Platform("square", "Square", "payment"),
        Platform("braintree", "Braintree", "payment"),
        Platform("mailchimp", "Mailchimp", "marketing"),
        Platform("marketo", "Marketo", "marketing"),
        Platform("activecampaign", "ActiveCampaign", "marketing"),
        Platform("quickbooks", "QuickBooks", "accounting"),
        Platform("xero", "Xero", "accounting"),
        Platform("freshbooks", "FreshBooks", "accounting"),
        Platform("twitter", "Twitter", "social"),
        Platform("linkedin", "LinkedIn", "social"),
        Platform("facebook", "Facebook", "social"),
        Platform("instagram", "Instagram", "social"),
    )
}

PLATFORM_NAMES: frozenset[str] = frozenset(PLATFORMS)
"""Every name of `PLATFORMS`."""


def is_platform(name: str) -> bool:
    """Return whether a declaration may name it: it is in `PLATFORMS`, or a package adds it."""
    return name in PLATFORM_NAMES or name in extensions(CONNECTORS)


def platform_names() -> list[str]:
    """Return every name that a declaration may use, in the order of the alphabet."""
    return sorted({*PLATFORM_NAMES, *extensions(CONNECTORS)})


def kind_of_platform(name: str) -> Kind:
    """Return what a platform is for; nobody says that of one that a package adds."""
    known = PLATFORMS.get(name)
    return known.kind if known else "generic"


def title_of(platform: str) -> str:
    """
    Return the platform's own spelling of its name; an unknown one as it is.

    Raises:
        BrokenExtensionError: Another package adds it, and it cannot be used.
    """
    known = PLATFORMS.get(platform)
    if known is None and platform in extensions(CONNECTORS):
        # Here, so that declaring a service does not load what only an explanation says.
        from dovetail.connector_sdk.registry import connector_class  # noqa: PLC0415

        return connector_class(platform).title
    return known.title if known else platform
