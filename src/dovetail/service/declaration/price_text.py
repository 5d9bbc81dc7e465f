"""Prices in words."""

from __future__ import annotations

from decimal import Decimal

from dovetail.service.declaration.pricing import (
    PerContact,
    PerEvent,
    PerIntegration,
    PerPost,
    PerSync,
    PerTicket,
    PerTransaction,
    PricingModel,
    Subscription,
)
from dovetail.service.declaration.table import Table
from dovetail.service.declaration.tier import Tier


def money_text(amount: Decimal, currency: str) -> str:
    """Return an amount with at least two decimals and no trailing zeros after: ``USD 0.005``."""
    whole, _, cents = f"{amount.normalize():,f}".partition(".")
    return f"{currency} {whole}.{cents.ljust(2, '0')}"


def rate_lines(pricing: PricingModel) -> list[str]:
    """Return the rates of a price, one sentence each."""

    def money(amount: Decimal) -> str:
        return money_text(amount, pricing.currency)

    match pricing:
        case PerSync():
            return _per_sync(pricing)
        case PerTransaction():
            share = f"{(pricing.percentage * 100).normalize():f}%"
            text = f"{money(pricing.rate)} per transaction"
            return [f"{text} and {share} of its amount." if pricing.percentage else f"{text}."]
        case PerEvent():
            least = money(pricing.minimum_charge)
            return [f"{money(pricing.rate)} per event, at least {least} a month."]
        case PerContact():
            campaigns = money(pricing.campaigns)
            return [f"{money(pricing.rate)} per contact, {campaigns} per campaign execution."]
        case PerTicket() | PerPost():
            return [f"{money(pricing.rate)} per {pricing.unit}."]
        case PerIntegration():
            return [
                f"{money(pricing.setup)} once for the setup, {money(pricing.monthly)} a month, "
                f"{money(pricing.additional_platforms)} a month for each additional platform."
            ]
        case Subscription():
            return [_tier(tier, pricing.currency, "") for tier in pricing.tiers]
    return []


def _per_sync(pricing: PerSync) -> list[str]:
    rate = pricing.base_rate if pricing.rate is None else pricing.rate
    lines = [] if rate is None else [f"{money_text(rate, pricing.currency)} per synced record."]
    for band in sorted(pricing.volume, key=lambda band: band.min):
        end = "on" if band.max is None else f"to {band.max:,}"
        price = money_text(band.rate, pricing.currency)
        lines.append(f"From {band.min:,} {end} in a month: {price} for each of them.")
    if pricing.subscription is not None:
        tiers = pricing.subscription.tiers
        lines += [f"Or {_tier(tier, pricing.currency, ' syncs')}" for tier in tiers]
    return lines


def _tier(tier: Tier, currency: str, unit: str) -> str:
    if isinstance(tier.includes, Table):
        included = ", ".join(f"{name}: {_limit(limit)}" for name, limit in tier.includes.items())
    else:
        included = f"{_limit(tier.includes)}{unit}"
    price = money_text(tier.price, currency)
    text = f"{tier.name}: {price} a month for {included}"
    return f"{text}, {tier.platforms} platforms." if tier.platforms is not None else f"{text}."


def _limit(limit: int | None) -> str:
    return "unlimited" if limit is None else f"{limit:,}"
