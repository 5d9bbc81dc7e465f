"""The objects that describe the org itself: its users, and itself."""

from __future__ import annotations

from dovetail.simulators.salesforce.field import Field
from dovetail.simulators.salesforce.sobject import SObject
from dovetail.simulators.salesforce.standard_field import identity, system_fields

USER = SObject(
    name="User",
    plural="Users",
    key_prefix="005",
    is_writable=False,
    fields=(
        *identity("User")[:1],
        Field("Username", label="Username", length=80, read_only=True),
        Field("FirstName", label="First Name", length=40, read_only=True),
        Field("LastName", label="Last Name", length=80, read_only=True),
        Field("Name", label="Full Name", length=121, read_only=True),
        Field("Email", "email", "Email", length=128, read_only=True),
        Field("IsActive", "boolean", "Active", read_only=True),
        *system_fields(),
    ),
)

ORGANIZATION = SObject(
    name="Organization",
    plural="Organizations",
    key_prefix="00D",
    is_writable=False,
    fields=(
        *identity("Organization")[:1],
        Field("Name", label="Name", length=80, read_only=True),
        Field("OrganizationType", "picklist", "Edition", length=40, read_only=True),
        Field("InstanceName", label="Instance Name", length=5, read_only=True),
        Field("IsSandbox", "boolean", "Is Sandbox", read_only=True),
        *system_fields(),
    ),
)
