"""Payments, refunds, subscriptions, invoices and the transactions that settle them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from dovetail.model.entity import Entity
from dovetail.model.event import EventName


class Payment(Entity):
    """Money to be taken once. `amount` is in major units of `currency`."""

    amount: Decimal | None = None
    currency: str | None = None
    country: str | None = None
    method: str | None = None
    status: str | None = None
    customer_id: str | None = None
    order_id: str | None = None
    payment_id: str | None = None
    transaction_id: str | None = None
    processor: str | None = None
    fallback: bool | None = None
    error: str | None = None

    requested = EventName()
    succeeded = EventName()
    failed = EventName()


class Refund(Entity):
    """Money given back."""

    payment_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    reason: str | None = None
    status: str | None = None

    requested = EventName()
    succeeded = EventName()
    failed = EventName()


class Subscription(Entity):
    """A recurring charge."""

    customer_id: str | None = None
    plan: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    status: str | None = None
    processor: str | None = None
    current_period_end: datetime | None = None

    cancelled = EventName()


class Invoice(Entity):
    """A request for payment."""

    __indexes__ = ("number",)

    number: str | None = None
    customer_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    status: str | None = None
    due_at: datetime | None = None
    external_id: str | None = None

    paid = EventName()
    voided = EventName()


class Transaction(Entity):
    """What a processor did for a payment."""

    __indexes__ = ("payment_id",)
    __emits__ = False

    payment_id: str | None = None
    processor: str | None = None
    processor_transaction_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    status: str | None = None
    timestamp: datetime | None = None


class AccountingEntry(Entity):
    """A line for the books."""

    __indexes__ = ("order_id", "transaction_id")

    type: str | None = None
    order_id: str | None = None
    transaction_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    platform: str | None = None
    timestamp: datetime | None = None
