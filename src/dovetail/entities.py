"""Every entity that ships with Dovetail, under one import."""

from dovetail.model.commerce import (
    Address,
    Customer,
    Fulfillment,
    InventoryLevel,
    Order,
    OrderItem,
    Product,
)
from dovetail.model.crm import Company, Contact, Deal, Owner, Ticket
from dovetail.model.entity import Entity
from dovetail.model.event import Event, EventType
from dovetail.model.integration import (
    Connection,
    EventRoute,
    EventRouting,
    Integration,
    IntegrationMapping,
    InventorySync,
    PlatformBinding,
    SyncActivity,
    SyncConflict,
    SyncError,
    SyncOperation,
)
from dovetail.model.payment import (
    AccountingEntry,
    Invoice,
    Payment,
    Refund,
    Subscription,
    Transaction,
)
from dovetail.model.platform_record import PlatformRecord
from dovetail.model.social import Post

__all__ = [
    "AccountingEntry",
    "Address",
    "Company",
    "Connection",
    "Contact",
    "Customer",
    "Deal",
    "Entity",
    "Event",
    "EventRoute",
    "EventRouting",
    "EventType",
    "Fulfillment",
    "Integration",
    "IntegrationMapping",
    "InventoryLevel",
    "InventorySync",
    "Invoice",
    "Order",
    "OrderItem",
    "Owner",
    "Payment",
    "PlatformBinding",
    "PlatformRecord",
    "Post",
    "Product",
    "Refund",
    "Subscription",
    "SyncActivity",
    "SyncConflict",
    "SyncError",
    "SyncOperation",
    "Ticket",
    "Transaction",
]
