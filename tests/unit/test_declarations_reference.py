"""The page about declarations tells of every key, and its examples work."""

import re
from pathlib import Path

import pytest
import yaml

from dovetail.service.declaration import IntegrationConfig, Schedule, Service
from dovetail.service.declaration.band import VolumeBand
from dovetail.service.declaration.base import Declaration
from dovetail.service.declaration.integration import (
    FIELD_POLICIES,
    Deletes,
    ProcessorRouting,
    SyncBy,
    SyncMode,
)
from dovetail.service.declaration.load import services_of
from dovetail.service.declaration.pricing import PRICING_MODELS
from dovetail.service.declaration.routing import Routing, RoutingRule
from dovetail.service.declaration.tier import SubscriptionOffer, Tier
from dovetail.service.entity_catalog import ENTITY_NAMES
from dovetail.service.platform_catalog import PLATFORM_NAMES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "declarations.md"
TEXT = PAGE.read_text(encoding="utf-8")
TABLES: tuple[type[Declaration], ...] = (
    Service,
    IntegrationConfig,
    Schedule,
    Routing,
    RoutingRule,
    VolumeBand,
    Tier,
    SubscriptionOffer,
    *PRICING_MODELS.values(),
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def named(sentence: str) -> set[str]:
    """What the sentence that begins so lists in code style."""
    (found,) = re.findall(rf"\*\*{sentence}\*\*: (.*?)\.\n", TEXT, re.DOTALL)
    return set(re.findall(r"`(\w+)`", found))


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_yaml_example_loads(block):
    assert services_of(yaml.safe_load(block), str(PAGE))


@pytest.mark.parametrize("block", blocks("python"))
def test_every_python_example_runs(block):
    exec(compile(block, str(PAGE), "exec"), {})  # noqa: S102 - our own page


def test_the_first_example_is_the_same_in_python_and_in_yaml():
    scope: dict = {}
    exec(blocks("python")[0], scope)  # noqa: S102 - our own page

    assert services_of(yaml.safe_load(blocks("yaml")[0]), str(PAGE)) == [scope["crm"]]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_every_key_is_on_the_page(table):
    missing = [name for name in table.model_fields if f"`{name}`" not in TEXT]

    assert not missing


@pytest.mark.parametrize(
    "value",
    [*SyncMode, *SyncBy, *Deletes, *ProcessorRouting, *FIELD_POLICIES, *PRICING_MODELS],
)
def test_every_allowed_value_is_on_the_page(value):
    assert f"`{value}`" in TEXT


def test_every_platform_and_entity_is_on_the_page():
    assert named("Platforms") == PLATFORM_NAMES
    assert named("Entities") == set(ENTITY_NAMES)
