"""A sandbox in a thread: it is there while the block runs, set as asked, and gone afterwards."""

import http.client
import json
from urllib.parse import urlsplit

import pytest

from dovetail.errors import UnknownPlatformError
from dovetail.simulator_sdk.background import served_sandbox

pytestmark = pytest.mark.real_time


def get(described, path):
    connection = http.client.HTTPConnection(urlsplit(described["base_url"]).netloc, timeout=10)
    token = described["credentials"]["access_token"]
    connection.request("GET", path, headers={"authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body)


def test_two_platforms_are_served_with_their_settings_and_people():
    settings = {"hubspot": {"burst_limit": 1}}
    with served_sandbox(["hubspot", "salesforce"], records=5, settings=settings) as sandbox:
        first, page = get(sandbox["hubspot"], "/crm/v3/objects/contacts")
        second, _ = get(sandbox["hubspot"], "/crm/v3/objects/contacts")
        query = "/services/data/v60.0/query?q=SELECT+COUNT()+FROM+Contact"
        _, counted = get(sandbox["salesforce"], query)

    url = sandbox["hubspot"]["base_url"]
    assert sandbox["hubspot"]["authorize_url"] == f"{url}/oauth/authorize"
    assert sandbox["salesforce"]["token_url"].endswith("/services/oauth2/token")
    assert (first, second) == (200, 429)
    assert len(page["results"]) == 5
    assert counted["totalSize"] == 5
    with pytest.raises(OSError, match="refused"):
        get(sandbox["hubspot"], "/crm/v3/objects/contacts")


def test_a_platform_without_a_simulator_is_said_where_it_was_asked_for():
    sandbox = served_sandbox(["hubspto"])

    with pytest.raises(UnknownPlatformError, match="did you mean 'hubspot'"):
        sandbox.__enter__()


def test_the_failure_of_a_test_is_not_hidden_by_the_end_of_the_sandbox():
    with pytest.raises(KeyError, match="mine"), served_sandbox(["hubspot"]):
        raise KeyError("mine")
