"""The page of connectors says what the declarations say."""

import importlib.util
from pathlib import Path

import pytest

from dovetail.connector_sdk.base import Connector
from dovetail.connector_sdk.grant import ClientCredentials
from dovetail.connector_sdk.spec import (
    Capability,
    ConcurrencyLimit,
    Guarantee,
    RateLimit,
    Resource,
)
from dovetail.model.crm import Contact

GENERATOR = Path(__file__).resolve().parents[2] / "docs" / "generate.py"


class Acme(Connector):
    """
    Anvils and their buyers.

    Reads are ``eventually`` consistent.
    """

    platform = "acme"
    title = "Acme"
    base_url = "https://api.acme.example"
    limits = (
        RateLimit("burst", 100, per_s=10),
        RateLimit("search", 4, per_s=1, path="/search*", setting="search_limit"),
    )
    resources = (
        Resource(
            name="contacts",
            entity=Contact,
            path="/buyers",
            key_field="mail",
            key_is_unique=True,
            modified_field="changed",
            fields={"mail": "email"},
            read_batch=50,
            write_batch=20,
            consistency_lag_s=5,
            capabilities=frozenset({Capability.FIND, Capability.READ_CHANGES}),
            guarantees={"create": Guarantee.LOOK_UP},
            guarantees_with={"buyer_key": {"create": Guarantee.PLATFORM_KEY}},
        ),
    )
    concurrency = (ConcurrencyLimit("at-once", 5, setting="at_once"),)
    grants = (ClientCredentials(tokens_url="https://api.acme.example/token"),)
    docs_url = "https://acme.example/docs"

    async def identify(self) -> str:
        return "acme-1"


@pytest.fixture
def page():
    spec = importlib.util.spec_from_file_location("generate_docs", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.connectors_page([Acme])


def test_a_platform_has_a_row_with_the_roles_it_plays(page):
    assert "| Acme | `acme` | account | contacts |" in page


def test_a_resource_has_a_row_with_all_that_it_declares(page):
    assert (
        "| contacts | `Contact` | read-changes, find | `mail` (unique) | 50, 20 "
        "| create: `look-up`, create: `platform-key` (with `buyer_key`) |" in page
    )


def test_limits_are_told_with_the_setting_that_raises_them(page):
    assert "- Limit `burst`: 100 calls per 10 s\n" in page
    assert (
        "- Limit `search`: 4 calls per 1 s on `/search*`; a bigger plan sets `search_limit`" in page
    )


def test_what_else_bounds_and_authorises_is_told(page):
    assert "- Limit `at-once`: 5 calls at the same time; `at_once` changes it\n" in page
    assert "- Ways to a token (`--auth`): `token`, `client-credentials`\n" in page


def test_the_docstring_and_the_link_of_the_platform_are_on_the_page(page):
    assert "Anvils and their buyers.\n\nReads are `eventually` consistent." in page
    assert "<https://acme.example/docs>" in page
