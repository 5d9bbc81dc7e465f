"""What a connector is tested with: the values that a user of the contract gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dovetail.connector_sdk.base import Connector
from dovetail.simulator_sdk.base import Simulator


@dataclass(frozen=True, kw_only=True)
class Sample:
    """
    Records of one resource, in the platform's own names and in values as a `Write` carries them.

    Attributes:
        record: Returns the *n*-th record that the platform takes as it is; no two alike.
        text: A field of free text, which the contract writes to and reads by.
        values: Field -> values that come back as they were sent; every declared field has some,
            here or in `record`. None stands where a field can be cleared.
        refused: Field -> a value that the platform refuses by naming the field.
        custom_field: A field that an account may have on its own, as `Simulator.add_field` takes
            it; ``name`` is its name.
    """

    record: Callable[[int], dict[str, Any]]
    text: str
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    refused: Mapping[str, Any] = field(default_factory=dict)
    custom_field: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """
    A connector, the simulator it is tested against, and sample records.

    Attributes:
        connector: The class under test.
        simulator: Makes an empty simulator, given ``clock``, ``rng``, ``transport`` and
            ``base_url`` by name: the class itself, or a `functools.partial` of it.
        samples: By the name of the resource; a resource without one is not tested.
        settings: Of the connection.
        credentials: Beside (or instead of) those that the simulator names.
    """

    connector: type[Connector]
    simulator: Callable[..., Simulator]
    samples: Mapping[str, Sample]
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
