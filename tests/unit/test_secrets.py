"""Secrets: sealed for one owner, under one key, and never shown."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dovetail.core.key_file import KeyFile, new_key
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
    sealed = SecretBox(KeyFile(path)).seal(b"token", "me")

    assert SecretBox(KeyFile(path)).open(sealed, "me") == b"token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_file_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(ConfigError, match="DOVETAIL_SECRET_KEY"):
        KeyFile(tmp_path / "missing" / "key")


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


def test_more_keys_after_a_comma_open_and_the_first_one_seals():
    old, new = SecretBox(b"o" * 32), base64.b64encode(b"n" * 32).decode()
    both = SecretBox.from_base64(f"{new},{base64.b64encode(b'o' * 32).decode()}")
    sealed = old.seal(b"token", "me")

    assert both.open(sealed, "me") == b"token"
    assert both.needs_rewrap(sealed)
    moved = both.rewrap(sealed, "me")
    assert not both.needs_rewrap(moved)
    assert SecretBox.from_base64(new).open(moved, "me") == b"token"
    with pytest.raises(ConfigError):
        old.open(moved, "me")
    assert moved[-21:] == sealed[-21:], "what the data key encrypts is not touched"


def test_a_value_sealed_by_the_first_version_still_opens():
    nonce = b"n" * 12
    cipher = AESGCM(b"k" * 32)
    sealed = b"\x01" + nonce + cipher.encrypt(nonce, b"token", b"me")
    box = SecretBox.from_base64(KEY)

    assert box.open(sealed, "me") == b"token"
    assert box.needs_rewrap(sealed)
    assert box.open(box.rewrap(sealed, "me"), "me") == b"token"


def test_a_wrapped_key_opens_for_its_owner_alone():
    box = SecretBox.from_base64(KEY)
    with pytest.raises(ConfigError):
        box.rewrap(box.seal(b"token", "me"), "you")


def test_a_process_that_runs_takes_over_the_keys_of_a_changed_file(tmp_path):
    path = tmp_path / "keys"
    running, rotating = KeyFile(path), KeyFile(path)
    box = SecretBox(running)
    before = box.seal(b"token", "me")

    rotating.add(new_key())

    assert box.open(before, "me") == b"token"
    assert box.needs_rewrap(before), "it seals with the new key at once"
    assert SecretBox(KeyFile(path)).open(box.seal(b"x", "me"), "me") == b"x"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    assert box.open(before, "me") == b"token", "a file that vanished stops nothing"


def test_key_files_of_many_processes_that_start_together_agree(tmp_path):
    path = tmp_path / "keys"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: SecretBox(KeyFile(path)).key_id, range(8)))

    assert len(set(made)) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["keys"], "no draft is left"
