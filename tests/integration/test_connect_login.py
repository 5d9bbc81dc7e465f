"""``dovetail connect`` as a person meets it: a log-in page, an answer, tokens that are renewed."""

import json
import signal
import urllib.error
import urllib.parse
import urllib.request

import pytest


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def visit(url, body=None):
    """Return the status, the page and where it leads."""
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(url, body, timeout=20) as answer:
            return answer.status, answer.read().decode(), None
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode(), answer.headers.get("location")


def decide(page, decision):
    """Press a button of the log-in page; return where the browser is sent."""
    status, text, _ = visit(page)
    assert status == 200, text
    status, text, address = visit(page, f"decision={decision}".encode())
    assert status == 302, text
    return address


def log_in(dovetail, platform, index, *options):
    process, told = dovetail.start(
        "connect", platform, "--sandbox", index, "--no-browser", "--redirect-port", 0, *options
    )
    return process, told["open"]


def ended(process):
    out, err = process.communicate(timeout=30)
    return process.returncode, json.loads(out.strip().splitlines()[-1]), err


@pytest.mark.parametrize("platform", ["hubspot", "salesforce"])
def test_a_person_allows_it_in_the_browser(dovetail, crm_file, platform):
    index, _ = dovetail.sandbox("hubspot", "salesforce", records=5)
    process, page = log_in(dovetail, platform, index)

    address = decide(page, "allow")
    status, text, _ = visit(address)

    code, told, _ = ended(process)
    assert (status, code) == (200, 0), told
    assert "Close this page" in text
    assert told["connections"][0]["platform"] == platform
    other = "hubspot" if platform == "salesforce" else "salesforce"
    dovetail.json("connect", other, "--sandbox", index)
    assert dovetail.json("sync", crm_file)["finished"], "the tokens are good for calls"


def test_a_person_says_no(dovetail):
    index, _ = dovetail.sandbox("hubspot", records=0)
    process, page = log_in(dovetail, "hubspot", index)

    status, text, _ = visit(decide(page, "deny"))

    code, told, _ = ended(process)
    assert (status, code) == (400, 4)
    assert "denied" in text
    assert "denied" in told["error"]["message"]
    assert dovetail.json("connect", "--list")["connections"] == []


def test_an_answer_with_another_state_is_not_used(dovetail):
    index, _ = dovetail.sandbox("hubspot", records=0)
    process, page = log_in(dovetail, "hubspot", index)
    address = urllib.parse.urlsplit(decide(page, "allow"))
    query = dict(urllib.parse.parse_qsl(address.query)) | {"state": "forged"}

    status, _, _ = visit(address._replace(query=urllib.parse.urlencode(query)).geturl())

    code, told, _ = ended(process)
    assert (status, code) == (400, 4)
    assert "state is not ours" in told["error"]["message"]


def test_nobody_comes(dovetail):
    index, _ = dovetail.sandbox("hubspot", records=0)
    process, _ = log_in(dovetail, "hubspot", index, "--wait", 1)

    code, told, _ = ended(process)

    assert code == 4
    assert "--wait" in told["error"]["message"]


def test_other_requests_are_no_answer_and_an_interrupt_ends_the_wait(dovetail):
    index, _ = dovetail.sandbox("hubspot", records=0)
    process, page = log_in(dovetail, "hubspot", index)
    home = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(page).query))["redirect_uri"]

    assert visit(urllib.parse.urljoin(home, "/favicon.ico"))[0] == 404
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)

    assert process.returncode == 130


def test_an_app_gets_tokens_for_itself(dovetail):
    index, _ = dovetail.sandbox("salesforce", records=0)

    told = dovetail.json(
        "connect", "salesforce", "--sandbox", index, "--auth", "client-credentials"
    )

    assert told["connections"][0]["account"]


def test_a_way_that_a_platform_does_not_offer_is_told(dovetail):
    index, _ = dovetail.sandbox("hubspot", records=0)

    told = dovetail.run("connect", "hubspot", "--sandbox", index, "--auth", "jwt", code=2)

    assert "HubSpot offers token, browser" in told.stderr
