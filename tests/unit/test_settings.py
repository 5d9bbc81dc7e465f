"""Settings: from the environment, with defaults, and with errors that name the variable."""

from pathlib import Path

import pytest

from dovetail.core.settings import Settings
from dovetail.errors import ConfigError


def test_without_an_environment_there_are_defaults():
    assert Settings.from_env({}) == Settings()


def test_the_environment_is_read_as_what_each_setting_is():
    settings = Settings.from_env(
        {
            "DOVETAIL_DATABASE": "/var/lib/app.db",
            "DOVETAIL_PORT": "9000",
            "DOVETAIL_SHUTDOWN_S": "2.5",
            "DOVETAIL_PUBLIC_URL": "https://hooks.example.com/",
            "DOVETAIL_SECRET_KEY": "c2VjcmV0",
            "DOVETAIL_CONCURRENCY": "",
            "PORT": "1",
        }
    )

    assert settings.database == Path("/var/lib/app.db")
    assert (settings.port, settings.shutdown_s) == (9000, 2.5)
    assert settings.webhook_base == "https://hooks.example.com"
    assert settings.concurrency == Settings().concurrency, "empty is unset"


def test_a_number_that_is_none_names_the_variable():
    with pytest.raises(ConfigError, match=r"DOVETAIL_PORT='http' is not a number"):
        Settings.from_env({"DOVETAIL_PORT": "http"})


def test_what_the_command_line_leaves_out_stays_as_it_was():
    settings = Settings(port=1, host="::").but(port=2, host=None)

    assert (settings.port, settings.host) == (2, "::")


def test_the_secret_key_is_not_shown():
    assert "c2VjcmV0" not in repr(Settings(secret_key="c2VjcmV0"))
