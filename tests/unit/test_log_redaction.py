"""No secret reaches the log, whatever it is called and wherever it stands."""

import io
import json
import sys

import pytest
import structlog

from dovetail.core.log import REDACTED, configure_logging, redact, redact_text

TOKEN = "pat-na1-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
SESSION = "00D5g00000ABCDE!AQ0AQFhx.kLm9_abcdefgh"


@pytest.fixture
def log_lines(capsys):
    """Return a function that logs with the project's settings and reads what was written."""
    before = structlog.get_config()

    def lines(write):
        configure_logging("debug", json_lines=True)
        write(structlog.get_logger("test"))
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield lines
    structlog.configure(**before)


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "access_token",
        "refresh_token",
        "client_secret",
        "webhook_secret",
        "developer_api_key",
        "apikey",
        "hapikey",
        "password",
        "authorization",
        "Authorization",
        "set-cookie",
        "x-hubspot-signature-v3",
        "private_key",
        "secret_key",
        "secrets",
        "tokens",
        "credentials",
        "accessToken",
        "clientSecret",
        "webhookSecret",
        "refreshToken",
        "apiKey",
    ],
)
def test_a_value_with_the_name_of_a_secret_is_replaced(name):
    assert redact({"outer": [{name: "plain-looking"}]}) == {"outer": [{name: REDACTED}]}


@pytest.mark.parametrize("name", ["tokenized", "secretary", "key", "keyword", "turnkey", "monkey"])
def test_a_name_that_only_resembles_one_is_left_alone(name):
    assert redact({name: "value"}) == {name: "value"}


@pytest.mark.parametrize(
    "text",
    [
        f"401 for {TOKEN}.",
        f"session {SESSION} expired",
        "Authorization: Bearer abcdefgh12345678",
        "authorization: basic dXNlcjpwYXNzd29yZA==",
        "GET /webhooks/v3/1?hapikey=abcdef12&limit=1",
        "GET /x?client_secret=s3cr3t",
        "sk_live_abcdefgh1234",
    ],
)
def test_what_looks_like_a_secret_is_replaced_inside_a_text(text):
    shown = redact_text(text)

    assert REDACTED in shown
    for secret in (TOKEN, SESSION, "abcdefgh12345678", "dXNlcjpw", "abcdef12", "s3cr3t"):
        assert secret not in shown


def test_ordinary_text_stays_as_it_is():
    text = "HubSpot answered 404 for contact 12345 at 2026-03-01T09:00:00Z?limit=100"
    assert redact_text(text) == text


def test_the_log_and_its_tracebacks_carry_no_secret(log_lines):
    def write(log):
        log.info("connected", access_token=TOKEN, headers={"Authorization": f"Bearer {TOKEN}"})
        try:
            raise RuntimeError(f"refused {TOKEN}")
        except RuntimeError:
            event = f"failed with {SESSION}"
            log.exception(event, url="https://x.test/?access_token=abc")

    lines = log_lines(write)

    assert [line["level"] for line in lines] == ["info", "error"]
    assert "RuntimeError: refused" in lines[1]["exception"]
    told = json.dumps(lines)
    for secret in (TOKEN, SESSION, "access_token=abc"):
        assert secret not in told


def test_bytes_and_sets_and_objects_are_no_hiding_places(log_lines):
    class Request:
        def __repr__(self):
            return f"<Request {TOKEN}>"

    lines = log_lines(
        lambda log: log.info("sent", body=TOKEN.encode(), seen={TOKEN}, request=Request())
    )

    assert TOKEN not in json.dumps(lines)


def test_a_standard_error_that_is_gone_stops_nothing(monkeypatch):
    gone = io.StringIO()
    monkeypatch.setattr(sys, "stderr", gone)
    configure_logging("info")
    structlog.get_logger("test").info("before")
    assert "before" in gone.getvalue()
    gone.close()

    structlog.get_logger("test").info("written to nowhere")

    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)
    structlog.get_logger("test").info("and on again")
    assert "and on again" in later.getvalue()
    structlog.reset_defaults()
