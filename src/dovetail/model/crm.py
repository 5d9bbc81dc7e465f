"""People, organisations, opportunities and cases, as every CRM has them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from dovetail.model.entity import Entity


class Contact(Entity):
    """A person. The natural key is the e-mail address."""

    __indexes__ = ("email", "external_id")

    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    mobile_phone: str | None = None
    company_id: str | None = None
    company_name: str | None = None
    job_title: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    lifecycle_stage: str | None = None
    owner_id: str | None = None
    customer_id: str | None = None
    external_id: str | None = None
    source_platform: str | None = None
    tags: list[str] | None = None
    last_purchase: datetime | None = None
    total_spent: Decimal | None = None


class Owner(Entity):
    """
    A user of the platforms' accounts, to whom records belong.

    The natural key is the e-mail address. One who has left stays, with `active` False.
    """

    __indexes__ = ("email",)

    name: str | None = None
    email: str | None = None
    active: bool | None = None


class Company(Entity):
    """An organisation. The natural key is the web domain."""

    __indexes__ = ("domain",)

    name: str | None = None
    domain: str | None = None
    phone: str | None = None
    website: str | None = None
    industry: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    employees: int | None = None
    annual_revenue: Decimal | None = None
    owner_id: str | None = None
    external_id: str | None = None
    source_platform: str | None = None


class Deal(Entity):
    """An opportunity to sell."""

    name: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    stage: str | None = None
    pipeline: str | None = None
    close_date: date | None = None
    company_id: str | None = None
    contact_id: str | None = None
    owner_id: str | None = None
    external_id: str | None = None
    source_platform: str | None = None


class Ticket(Entity):
    """A request for support."""

    subject: str | None = None
    description: str | None = None
    status: str | None = None
    priority: str | None = None
    pipeline: str | None = None
    contact_id: str | None = None
    company_id: str | None = None
    requester_email: str | None = None
    assignee_id: str | None = None
    channel: str | None = None
    tags: list[str] | None = None
    external_id: str | None = None
    source_platform: str | None = None
