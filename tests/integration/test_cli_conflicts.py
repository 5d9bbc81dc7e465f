"""Conflicts that a person decides on the command line, with and without a running process."""

import json
import urllib.request

import pytest

DECLARATION = """
name: CRM
integration:
  platforms: [hubspot, salesforce]
  syncMode: bidirectional
  entities: [contacts]
  conflictResolution: manual-review
  schedule:
    realtime: [contacts]
    pollInterval: 1 second
mappings:
  contact:
    hubspot: {lastname: last_name, email: email, city: city}
    salesforce: {LastName: last_name, Email: email, MailingCity: city}
"""


class Crms:
    """One person on two platforms, edited and looked at as in the vendors' own screens."""

    def __init__(self, dovetail, urls):
        self._dovetail = dovetail
        self._urls = urls

    def cities(self):
        hubspot, salesforce = (self._only(one) for one in ("hubspot", "salesforce"))
        return hubspot["fields"].get("city"), salesforce["fields"].get("MailingCity")

    def move(self, platform, city):
        field = "city" if platform == "hubspot" else "MailingCity"
        body = {
            "resource": "contacts",
            "id": self._only(platform)["id"],
            "fields": {field: city},
        }
        self._call(platform, "edit", body)

    def _only(self, platform):
        (only,) = self._call(platform, "records/contacts")["records"]
        return only

    def _call(self, platform, path, body=None):
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self._urls[platform]}/_sandbox/{path}",
            json.dumps(body).encode() if body else None,
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return json.load(answer)


@pytest.fixture
def crms(dovetail, free_port):
    """Two sandboxes, connected, in agreement on one person, then in conflict over her city."""
    (dovetail.folder / "people.csv").write_text(
        "last_name,email,city\nByron,ada@example.com,London\n"
    )
    (dovetail.folder / "crm.yaml").write_text(DECLARATION)
    port = free_port(3)
    _, told = dovetail.start(
        "sandbox", "hubspot", "salesforce", "--port", port, "--records", 0, "--load", "people.csv"
    )
    dovetail.run("connect", "--sandbox", f"http://127.0.0.1:{port}")
    both = Crms(dovetail, {one["platform"]: one["base_url"] for one in told["platforms"]})
    dovetail.json("sync", "crm.yaml")
    assert both.cities() == ("London", "London")
    both.move("hubspot", "Rome")
    both.move("salesforce", "Turin")
    done = dovetail.json("sync", "crm.yaml")
    assert sum(row["pending"] for row in done["platforms"]) == 1
    return both


def test_a_decision_without_a_running_process_is_kept_for_the_next(dovetail, crms):
    (conflict,) = dovetail.json("conflicts", "list")["conflicts"]
    assert conflict["field"] == "city"
    assert {conflict["local_data"], conflict["external_data"]} == {"Rome", "Turin"}

    told = dovetail.run("conflicts", "resolve", conflict["id"], "--take", "Florence")
    assert "next `dovetail run`" in told.stdout
    dovetail.json("sync", "crm.yaml")

    assert crms.cities() == ("Florence", "Florence")
    assert dovetail.json("conflicts", "list")["conflicts"] == []
    (closed,) = dovetail.json("conflicts", "list", "--all")["conflicts"]
    assert closed["status"] == "closed"


def test_a_running_process_decides_at_once(dovetail, crms, wait_until):
    dovetail.start("run", "crm.yaml", "--port", 0)
    (conflict,) = dovetail.json("conflicts", "list")["conflicts"]
    theirs = conflict["external_data"]

    told = dovetail.json("conflicts", "resolve", conflict["id"], "--take", conflict["platform"])

    assert told["status"] == "done"
    wait_until(lambda: crms.cities() == (theirs, theirs))


def test_what_cannot_be_decided_is_told(dovetail, crms):
    (conflict,) = dovetail.json("conflicts", "list")["conflicts"]
    missing = dovetail.run("conflicts", "resolve", "nothing", "--take", "internal", code=1)
    assert "conflicts list" in missing.stderr

    dovetail.run("conflicts", "resolve", conflict["id"], "--take", "internal")
    dovetail.json("sync", "crm.yaml")

    again = dovetail.run("conflicts", "resolve", conflict["id"], "--take", "internal", code=2)
    assert "nothing is left to decide" in again.stderr
