"""Where ``dovetail connect`` finds credentials."""

import io

import pytest

from dovetail.cli.credential import complete, from_environment, given_for, grant_for
from dovetail.connector_sdk.registry import connector_class
from dovetail.errors import ConfigError, MissingCredentialError, UsageError

REQUIRED = ("access_token", "instance_url")


def test_the_token_of_the_environment_is_the_first_that_the_platform_requires():
    given = from_environment(
        "salesforce",
        REQUIRED,
        {
            "DOVETAIL_SALESFORCE_TOKEN": "t",
            "DOVETAIL_SALESFORCE_INSTANCE_URL": "https://example.com",
            "DOVETAIL_SALESFORCE_WEBHOOK_SECRET": "w",
            "DOVETAIL_SALESFORCE_BASE_URL": "http://127.0.0.1:1",
            "DOVETAIL_SALESFORCE_CLIENT_ID": "",
            "DOVETAIL_HUBSPOT_TOKEN": "another platform's",
        },
    )

    assert given.secrets == {"access_token": "t", "instance_url": "https://example.com"}
    assert given.webhook_secret == "w"
    assert given.base_url == "http://127.0.0.1:1"


def test_a_credential_under_its_own_name_wins_over_the_token():
    given = from_environment(
        "hubspot", REQUIRED, {"DOVETAIL_HUBSPOT_TOKEN": "a", "DOVETAIL_HUBSPOT_ACCESS_TOKEN": "b"}
    )

    assert given.secrets == {"access_token": "b"}


def test_what_is_given_never_shows_a_secret():
    given = from_environment("hubspot", REQUIRED, {"DOVETAIL_HUBSPOT_TOKEN": "s3cret-token"})

    assert "s3cret-token" not in repr(given)


def test_with_nobody_to_ask_the_variable_is_named(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    given = from_environment("hubspot", REQUIRED, {})

    with pytest.raises(MissingCredentialError, match="DOVETAIL_HUBSPOT_TOKEN"):
        complete("hubspot", "HubSpot", REQUIRED, given)


def test_a_further_credential_is_named_by_its_own_variable(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    given = from_environment("salesforce", REQUIRED, {"DOVETAIL_SALESFORCE_TOKEN": "t"})

    with pytest.raises(MissingCredentialError, match="DOVETAIL_SALESFORCE_INSTANCE_URL"):
        complete("salesforce", "Salesforce", REQUIRED, given)


def test_token_and_webhook_secret_are_lines_of_standard_input(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("the-token\nthe-secret\n"))

    given = given_for(
        connector_class("hubspot"),
        None,
        token_from_input=True,
        webhook_secret_from_input=True,
    )

    assert given.secrets["access_token"] == "the-token"
    assert given.webhook_secret == "the-secret"


def test_empty_standard_input_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    with pytest.raises(ConfigError, match="holds no token"):
        given_for(
            connector_class("hubspot"),
            None,
            token_from_input=True,
            webhook_secret_from_input=False,
        )


@pytest.mark.parametrize(
    ("platform", "way", "secrets", "grant"),
    [
        ("hubspot", None, {"access_token": "t"}, None),
        ("hubspot", None, {}, None),
        ("hubspot", None, {"client_id": "c", "client_secret": "s"}, "authorization_code"),
        ("hubspot", None, {"client_id": "c", "access_token": "t"}, None),
        ("hubspot", "browser", {"access_token": "t"}, "authorization_code"),
        ("hubspot", "token", {"client_id": "c"}, None),
        ("salesforce", None, {"client_id": "c", "private_key": "k"}, "jwt_bearer"),
        ("salesforce", "client-credentials", {}, "client_credentials"),
    ],
)
def test_the_way_to_a_token_follows_from_what_is_given(platform, way, secrets, grant):
    found = grant_for(connector_class(platform), way, secrets)

    assert (found.name if found else None) == grant


def test_a_way_that_there_is_not_is_told():
    with pytest.raises(UsageError, match="HubSpot offers token, browser"):
        grant_for(connector_class("hubspot"), "magic", {})
