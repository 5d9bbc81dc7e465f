"""Secrets: sealed for one owner, under one key, and never shown."""

import base64
import stat

import pytest

from dovetail.core.log import REDACTED, redact, redact_text
from dovetail.core.secrets import SecretBox
from dovetail.core.settings import Settings
from dovetail.errors import ConfigError

KEY = base64.b64encode(b"k" * 32).decode()


def test_what_is_sealed_opens_for_its_owner_alone():
    box = SecretBox.from_base64(KEY)
    sealed = box.seal(b"token", "connection-1")

    assert box.open(sealed, "connection-1") == b"token"
    with pytest.raises(ConfigError, match="connect the platform again"):
        box.open(sealed, "connection-2")
    with pytest.raises(ConfigError):
        SecretBox(b"x" * 32).open(sealed, "connection-1")


@pytest.mark.parametrize("position", [0, 5, 20, -1])
def test_a_changed_byte_is_noticed(position):
    box = SecretBox.from_base64(KEY)
    sealed = bytearray(box.seal(b"token", "me"))
    sealed[position] ^= 1
    with pytest.raises(ConfigError):
        box.open(bytes(sealed), "me")


def test_sealing_twice_looks_different():
    box = SecretBox.from_base64(KEY)
    assert box.seal(b"token", "me") != box.seal(b"token", "me")


@pytest.mark.parametrize("text", ["short", "not base64!", base64.b64encode(b"k" * 31).decode()])
def test_a_wrong_key_is_told(text):
    with pytest.raises(ConfigError):
        SecretBox.from_base64(text)


def test_a_key_file_is_made_once_and_is_its_owners_alone(tmp_path):
    path = tmp_path / "app.db.key"
    sealed = SecretBox.from_file(path).seal(b"token", "me")

    assert SecretBox.from_file(path).open(sealed, "me") == b"token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_file_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(ConfigError, match="DOVETAIL_SECRET_KEY"):
        SecretBox.from_file(tmp_path / "missing" / "key")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh12345678",
        "pat-na1-0aa8fcf0-971c-4c86-a825-6442a8167041",
        "00D5e000000abcd!AQcAQH0dMHZfz972Szmpkb58",
        "https://api.example.com/x?hapikey=0123456789&y=1",
        "sk_live_51H8abcdefgh",
    ],
)
def test_what_looks_like_a_credential_is_not_logged(text):
    shown = redact_text(f"calling with {text} now")

    assert REDACTED in shown
    assert text not in shown
    assert shown.startswith("calling with ")


def test_what_is_named_like_a_credential_is_not_logged():
    shown = redact(
        {"access_token": "abc", "nested": [{"client_secret": "def"}], "tokens_left": 3, "city": "x"}
    )

    assert shown["access_token"] == REDACTED
    assert shown["nested"] == [{"client_secret": REDACTED}]
    assert shown["city"] == "x"


def test_settings_come_from_the_environment_and_do_not_show_the_key():
    settings = Settings.from_env({"DOVETAIL_PORT": "9000", "DOVETAIL_SECRET_KEY": KEY})

    assert settings.port == 9000
    assert KEY not in repr(settings)
    with pytest.raises(ConfigError, match="DOVETAIL_PORT"):
        Settings.from_env({"DOVETAIL_PORT": "many"})
