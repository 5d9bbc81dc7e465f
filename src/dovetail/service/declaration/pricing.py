"""What a service costs: every form of pricing, and what it comes to for given usage."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ValidationError

from dovetail.service.declaration.band import VolumeBand, check_bands
from dovetail.service.declaration.base import Declaration
from dovetail.service.declaration.problem import (
    MISSING,
    Problem,
    ProblemsError,
    kind_of,
    problems_of,
    refuse,
    unknown,
)
from dovetail.service.declaration.tier import SubscriptionOffer, Tier, check_tiers
from dovetail.service.declaration.value import Money, read_money
from dovetail.service.spelling import snake_case


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a usage comes to, as an example for a person."""

    usage: str
    amount: Decimal


def _read_currency(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z]{3}", value.strip()):
        return value.strip().upper()
    raise refuse(f"must be a currency code of three letters such as USD, not {kind_of(value)}.")


def _read_percentage(value: object) -> Decimal:
    share = read_money(value)
    if share > 1:
        raise refuse(f"is a share of the amount: write 0.005 for 0.5%. {value} is more than all.")
    return share


class PricingModel(Declaration):
    """Base of every form of pricing. Amounts are in `currency`."""

    currency: Annotated[str, BeforeValidator(_read_currency)] = "USD"

    @abstractmethod
    def estimates(self) -> list[Estimate]:
        """Return what some usages come to."""


class PerSync(PricingModel):
    """
    Each synced record has a price; with `volume`, it falls as the month's count grows.

    Volume is graduated: each unit costs what its own band says, whatever comes after it. Units
    beyond the last band cost the base rate.
    """

    model: Literal["per-sync"] = "per-sync"
    rate: Money | None = None
    base_rate: Money | None = None
    volume: tuple[VolumeBand, ...] = ()
    subscription: SubscriptionOffer | None = None

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse no rate, two rates, and bands that overlap or leave gaps."""
        rates = [name for name in ("rate", "base_rate") if fields.get(name) is not None]
        volume = fields.get("volume")
        problems = [Problem(("base_rate",), "and rate mean the same: give one.")] * (len(rates) > 1)
        if not rates and not volume:
            problems.append(Problem(("rate",), "is missing: give rate, base_rate or volume."))
        if isinstance(volume, list | tuple):
            problems += [p.under("volume") for p in check_bands(volume, has_rate=bool(rates))]
        return problems

    def cost(self, syncs: int) -> Decimal:
        """Return the price of that many synced records in one month."""
        total, counted = Decimal(0), 0
        for band in self.volume:
            low = max(band.min, 1)
            high = syncs if band.max is None else min(band.max, syncs)
            if high >= low:
                total += (high - low + 1) * band.rate
                counted += high - low + 1
        flat = self.base_rate if self.rate is None else self.rate
        return total + (syncs - counted) * (flat or Decimal(0))

    def estimates(self) -> list[Estimate]:
        """Return the price of three months of different size, and each tier."""
        usages = [
            Estimate(f"{syncs:,} syncs", self.cost(syncs)) for syncs in (10_000, 50_000, 1_000_000)
        ]
        tiers = self.subscription.tiers if self.subscription else ()
        return usages + _tier_estimates(tiers)


class PerTransaction(PricingModel):
    """Each transaction costs `rate`, and `percentage` (a share: 0.005 is 0.5%) of its amount."""

    model: Literal["per-transaction"] = "per-transaction"
    rate: Money = Decimal(0)
    percentage: Annotated[Decimal, BeforeValidator(_read_percentage)] = Decimal(0)

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse a price that says nothing."""
        return _one_needed(fields, "rate", "percentage")

    def cost(self, transactions: int, amount: Decimal) -> Decimal:
        """Return the price of *transactions* that together move *amount*."""
        return transactions * self.rate + amount * self.percentage

    def estimates(self) -> list[Estimate]:
        """Return the price of 1,000 transactions."""
        return [Estimate("1,000 transactions of 50.00 each", self.cost(1000, Decimal(50_000)))]


class PerEvent(PricingModel):
    """Each routed event has a price; a month costs at least `minimum_charge`."""

    model: Literal["per-event"] = "per-event"
    rate: Money
    minimum_charge: Money = Decimal(0)

    def cost(self, events: int) -> Decimal:
        """Return the price of that many events in one month."""
        return max(events * self.rate, self.minimum_charge)

    def estimates(self) -> list[Estimate]:
        """Return the price of a small and a large month."""
        return [Estimate(f"{n:,} events", self.cost(n)) for n in (1_000, 1_000_000)]


class PerContact(PricingModel):
    """Each contact costs `rate`, each execution of a campaign `campaigns`."""

    model: Literal["per-contact"] = "per-contact"
    rate: Money
    campaigns: Money = Decimal(0)

    def cost(self, contacts: int, campaigns: int) -> Decimal:
        """Return the price of that many contacts and executions of campaigns."""
        return contacts * self.rate + campaigns * self.campaigns

    def estimates(self) -> list[Estimate]:
        """Return the price of 1,000 contacts and ten campaigns."""
        return [Estimate("1,000 contacts and 10 campaign executions", self.cost(1_000, 10))]


class _PerUnit(PricingModel):
    unit: ClassVar[str]
    rate: Money

    def cost(self, count: int) -> Decimal:
        """Return the price of that many."""
        return count * self.rate

    def estimates(self) -> list[Estimate]:
        """Return the price of 1,000."""
        return [Estimate(f"1,000 {self.unit}s", self.cost(1_000))]


class PerTicket(_PerUnit):
    """Each ticket costs `rate`."""

    unit = "ticket"
    model: Literal["per-ticket"] = "per-ticket"


class PerPost(_PerUnit):
    """Each published post costs `rate`."""

    unit = "post"
    model: Literal["per-post"] = "per-post"


class PerIntegration(PricingModel):
    """`setup` once, `monthly` each month, and `additional_platforms` for each further platform."""

    model: Literal["per-integration"] = "per-integration"
    setup: Money = Decimal(0)
    monthly: Money = Decimal(0)
    additional_platforms: Money = Decimal(0)

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse a price that says nothing."""
        return _one_needed(fields, "setup", "monthly", "additional_platforms")

    def cost(self, months: int, additional_platforms: int) -> Decimal:
        """Return the price of the first *months* with so many platforms on top."""
        monthly = self.monthly + additional_platforms * self.additional_platforms
        return self.setup + months * monthly

    def estimates(self) -> list[Estimate]:
        """Return the price of the first month and of the first year."""
        return [
            Estimate("the first month", self.cost(1, 0)),
            Estimate("the first 12 months with 2 additional platforms", self.cost(12, 2)),
        ]


class Subscription(PricingModel):
    """A monthly price per tier."""

    model: Literal["subscription"] = "subscription"
    tiers: tuple[Tier, ...]

    @classmethod
    def cross_check(cls, fields: Mapping[str, Any]) -> list[Problem]:
        """Refuse a subscription without tiers, and two tiers of one name."""
        return check_tiers(fields.get("tiers"))

    def estimates(self) -> list[Estimate]:
        """Return the price of each tier."""
        return _tier_estimates(self.tiers)


AnyPricing = (
    PerSync
    | PerTransaction
    | PerEvent
    | PerContact
    | PerTicket
    | PerPost
    | PerIntegration
    | Subscription
)

PRICING_MODELS: dict[str, type[PricingModel]] = {
    form.model_fields["model"].default: form
    for form in (
        PerSync,
        PerTransaction,
        PerEvent,
        PerContact,
        PerTicket,
        PerPost,
        PerIntegration,
        Subscription,
    )
}


def read_pricing(value: object) -> PricingModel | None:
    """
    Read a price as the form that its ``model`` names.

    Raises:
        ProblemsError: No such form, or the form is filled in wrongly.
    """
    if value is None or isinstance(value, PricingModel):
        return value
    if not isinstance(value, Mapping):
        raise refuse(f"must be a table with a model, not {kind_of(value)}.")
    names = tuple(PRICING_MODELS)
    keys = [key for key in value if isinstance(key, str) and snake_case(key) == "model"]
    if not keys:
        raise ProblemsError([Problem(("model",), MISSING, names)])
    model = value[keys[0]]
    form = PRICING_MODELS.get(model) if isinstance(model, str) else None
    if form is None:
        raise ProblemsError([unknown(str(model), "a pricing model", names, "model")])
    try:
        return form.model_validate(value)
    except ValidationError as error:
        raise ProblemsError(problems_of(error)) from error


def _one_needed(fields: Mapping[str, Any], *names: str) -> list[Problem]:
    if any(fields.get(name) is not None for name in names):
        return []
    return [Problem((names[0],), f"is missing: give {' or '.join(names)}.")]


def _tier_estimates(tiers: Sequence[Tier]) -> list[Estimate]:
    return [Estimate(f"a month of {tier.name}", tier.price) for tier in tiers]
