"""
Logging: structlog, to standard error, with secrets redacted by name and by look.

Redaction is the last processor, so that whatever a caller passes, no secret is written.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

REDACTED = "[redacted]"

_NAMES = re.compile(
    r"(^|_|-)(tokens?|secrets?|passwords?|passwd|api_?keys?|authorization|credentials?|cookies?|"
    r"hapikey|signatures?|refresh|private_?keys?)($|_|-)",
    re.IGNORECASE,
)
# Platforms and declarations write clientSecret where we write client_secret.
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LOOKS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=!-]{8,}", rf"\1 {REDACTED}"),
        (r"\bpat-[a-z0-9]+-[0-9a-f-]{16,}", REDACTED),  # HubSpot private app token
        (r"\b00D[A-Za-z0-9]{9,15}![A-Za-z0-9._]{8,}", REDACTED),  # Salesforce session id
        (r"\b[sr]k_(live|test)_[A-Za-z0-9]{8,}", REDACTED),  # Stripe key
        (
            r"(?i)([?&](?:hapikey|access_token|api_key|token|client_secret)=)[^&\s\"']+",
            rf"\1{REDACTED}",
        ),
    )
)


def redact_text(text: str) -> str:
    """Return the text with whatever looks like a credential replaced."""
    for pattern, replacement in _LOOKS:
        text = pattern.sub(replacement, text)
    return text


def redact(value: Any, name: str = "") -> Any:
    """Return plain data with secrets replaced, judged by the names of keys and by their look."""
    if name and _NAMES.search(_CAMEL.sub("_", name)) and value not in (None, "", True, False):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {key: redact(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    if value is None or isinstance(value, int | float):
        return value
    # The renderer will show anything else by its repr, so that is where a secret would appear.
    shown = repr(value)
    cleaned = redact_text(shown)
    return value if cleaned == shown else cleaned


def _redact_entry(
    _logger: Any, _method: str, entry: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {key: redact(value, key) for key, value in entry.items()}


class _StandardError:
    """
    Standard error as it is at the moment of writing.

    It may be replaced (by a test runner) or gone (a closed terminal); a line that cannot be written
    is lost, but never stops the work that it tells of.
    """

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return sys.stderr.write(text)
        return 0

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


class _Logger:
    """A logger of structlog, made when something is logged."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        import structlog  # noqa: PLC0415 - see `get_logger`

        return getattr(structlog.get_logger(self._name), method)


def get_logger(name: str) -> Any:
    """
    Return a logger that loads structlog when it is first used.

    For modules that a declaration loads: structlog brings rich, which takes a sixth of their time.
    """
    return _Logger(name)


def configure_logging(level: str = "info", *, json_lines: bool = False) -> None:
    """
    Send the log to standard error: coloured lines for a person, JSON lines for a machine.

    Args:
        level: debug, info, warning or error.
        json_lines: One JSON object a line.
    """
    import structlog  # noqa: PLC0415 - see `get_logger`

    number = getattr(logging, level.upper(), logging.INFO)
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_entry,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(_StandardError()),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
