"""The values a connector declares: resources, limits, capabilities, error rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dovetail.errors import ConnectorError
from dovetail.model.entity import Entity


class Capability(StrEnum):
    """What a resource can do on its platform; the contract suite and the docs ask for these."""

    READ_CHANGES = "read-changes"
    READ_MANY = "read-many"
    FIND = "find"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    TOMBSTONES = "tombstones"
    WEBHOOKS = "webhooks"


class Guarantee(StrEnum):
    """How one effect is kept on the platform when an answer is lost (design, promise 2)."""

    HEADER = "idempotency-header"
    """The platform answers a repeated call, known by its header, as it did the first time."""
    PLATFORM_KEY = "platform-key"
    """The platform refuses a second record with our key, or updates the one that has it."""
    LOOK_UP = "look-up"
    """The write is looked up by its own values before it is repeated."""
    IDEMPOTENT = "idempotent"
    """Repeating the call changes nothing."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """
    At most `limit` calls in any window of `per_s` seconds, per connected account.

    `path` is a pattern (``*`` matches anything) of the paths that count; a call counts against
    every limit that matches it. `setting` names the connection setting that overrides `limit`,
    for accounts on a bigger plan.
    """

    name: str
    limit: int
    per_s: float
    path: str = "*"
    setting: str | None = None


@dataclass(frozen=True, slots=True)
class ConcurrencyLimit:
    """
    At most `limit` calls on their way at the same time, per connected account.

    `path` and `setting` are as in `RateLimit`. A call whose end nobody told (its worker died)
    counts for `hold_s` at most.
    """

    name: str
    limit: int
    path: str = "*"
    setting: str | None = None
    hold_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """Turns an HTTP answer into an error: the first rule that matches wins, before the defaults."""

    raises: type[ConnectorError]
    status: int | None = None
    code: str | None = None


OWNERS = "owners"
"""The target of a `Reference` to one of the account's users; see `dovetail.connector_sdk.base`."""


@dataclass(frozen=True, slots=True)
class Reference:
    """
    A platform's field whose value is the id of another record there: a contact's company.

    Records and writes of a connector hold the platform's own ids. Which record of ours that is,
    the sync knows from its links. None points to nothing; an id of something that is no record of
    the resource is not told at all. A record may tell a list of ids where there are several, the
    preferred one first: the sync takes the one that it holds, or else the first.

    Attributes:
        field: Our field: ``company_id``.
        resource: The name of the resource that the id belongs to, or `OWNERS`.
    """

    field: str
    resource: str


@dataclass(frozen=True, slots=True)
class Resource:
    """
    One kind of record on a platform.

    Attributes:
        name: The platform-independent plural, as in declarations: ``contacts``.
        entity: The entity it holds.
        path: Where it lives, in whatever form the connector needs.
        key_field: The platform's field that holds the natural key (``email``), if there is one.
        key_is_unique: Whether the platform itself refuses a second record with that key.
        modified_field: The platform's field that tells when a record last changed.
        fields: The platform's field -> our field, used where a service declares no mapping.
        read_batch: Records per read call at most.
        write_batch: Records per write call at most.
        consistency_lag_s: How long a change may stay invisible to `read_page`.
        references: The platform's field -> what its id stands for; told like any other field to
            whoever names it.
        bulk_read_from: From how many changed records on `read_page` reads them with the platform's
            bulk jobs, None: never.
        bulk_write_from: The same for the writes of one kind in one call of `write`. The sync and
            handlers send at most `write_batch` in one.
        tombstones_for_s: How long `read_page` tells of a delete, None: for good. After that, and
            for what was deleted without a trace, the sync asks for its records by id.
        answer_lag_s: How long after it was sent a create whose answer was lost may still become
            visible to `look_up`; until then it is not repeated.
        capabilities: What it can do; anything else is refused before a request.
        guarantees: How creates, updates and deletes stay single when an answer is lost.
        guarantees_with: Connection setting -> the guarantees that it changes where it is given.
    """

    name: str
    entity: type[Entity]
    path: str
    key_field: str | None
    key_is_unique: bool
    modified_field: str
    fields: Mapping[str, str]
    read_batch: int
    write_batch: int
    consistency_lag_s: float
    capabilities: frozenset[Capability]
    guarantees: Mapping[str, Guarantee] = field(default_factory=dict)
    guarantees_with: Mapping[str, Mapping[str, Guarantee]] = field(default_factory=dict)
    references: Mapping[str, Reference] = field(default_factory=dict)
    bulk_read_from: int | None = None
    bulk_write_from: int | None = None
    tombstones_for_s: float | None = None
    answer_lag_s: float = 10.0
