"""What must never be shown, and what every error must say."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from dovetail.core import json
from dovetail.errors import ConnectorError, DovetailError

_SECRET = re.compile(r"token|secret|key|password|assertion|code$", re.IGNORECASE)
_NEXT_SENTENCE = re.compile(r"[.!?:;…]\s+[A-Z`'\"]")


def secrets_of(credentials: Mapping[str, str], *more: str) -> frozenset[str]:
    """Return the values that no text may hold."""
    named = (value for name, value in credentials.items() if _SECRET.search(name))
    return frozenset(value for value in (*named, *more) if len(value) >= 6)


class Silence:
    """Logs and standard output of a stretch of time."""

    def __init__(self) -> None:
        self._out = io.StringIO()

    @property
    def text(self) -> str:
        """Everything that was written."""
        return self._out.getvalue()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Catch what is written until the block ends."""
        root = logging.getLogger()
        level, handler = root.level, logging.StreamHandler(self._out)
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            with redirect_stdout(self._out), redirect_stderr(self._out):
                yield
        finally:
            root.setLevel(level)
            root.removeHandler(handler)


def check_hidden(text: str, secrets: frozenset[str], where: str) -> None:
    """Fail when a text holds a secret, without showing which."""
    assert not any(secret in text for secret in secrets), f"{where} shows a secret"


def check_error(error: DovetailError, title: str, secrets: frozenset[str]) -> None:
    """Fail when an error is not one a person can act on, or shows a secret."""
    told = f"{error} {error!r} {json.encode(error.to_record()).decode()}"
    check_hidden(told, secrets, f"the text of {type(error).__name__}")
    assert _NEXT_SENTENCE.search(error.message), (
        f"{type(error).__name__} does not say what to do: {error.message!r}"
    )
    assert "Traceback" not in error.message, error.message
    if isinstance(error, ConnectorError):
        assert title in error.message, f"an error names the platform: {error.message!r}"
