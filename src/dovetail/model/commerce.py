"""Orders, products, stock, customers and their fulfilment."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from dovetail.model.entity import Entity


class OrderItem(msgspec.Struct, kw_only=True):
    """One line of an order."""

    sku: str = ""
    quantity: int = 0
    title: str | None = None
    unit_price: Decimal | None = None
    product_id: str | None = None


class Address(msgspec.Struct, kw_only=True):
    """A postal address."""

    name: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None
    phone: str | None = None


class Order(Entity):
    """A sale in a store."""

    __indexes__ = ("store_id", "external_id")

    store_id: str | None = None
    number: str | None = None
    customer_id: str | None = None
    email: str | None = None
    items: list[OrderItem] = []
    total: Decimal | None = None
    currency: str | None = None
    status: str | None = None
    financial_status: str | None = None
    fulfillment_status: str | None = None
    shipping_address: Address | None = None
    placed_at: datetime | None = None
    external_id: str | None = None
    source_platform: str | None = None


class Product(Entity):
    """Something a store sells. The natural key is the SKU."""

    __indexes__ = ("sku",)

    sku: str | None = None
    title: str | None = None
    description: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    status: str | None = None
    external_id: str | None = None
    source_platform: str | None = None


class InventoryLevel(Entity):
    """How many of a SKU are available at a location."""

    __indexes__ = ("sku",)

    sku: str | None = None
    location_id: str | None = None
    available: int | None = None
    platform: str | None = None


class Customer(Entity):
    """A buyer in a store. The natural key is the e-mail address."""

    __indexes__ = ("email",)

    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    address: Address | None = None
    external_id: str | None = None
    source_platform: str | None = None


class Fulfillment(Entity):
    """The sending of an order's items."""

    order_id: str | None = None
    platform: str | None = None
    items: list[OrderItem] = []
    shipping_address: Address | None = None
    status: str | None = None
    tracking_number: str | None = None
