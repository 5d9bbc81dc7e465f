"""From an answer, or the lack of one, to the error that tells the runtime what happens next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dovetail.connector_sdk.response import ApiResponse, ErrorDetail, retry_after
from dovetail.connector_sdk.spec import ErrorRule
from dovetail.core.transport import TransportError
from dovetail.errors import (
    AuthenticationError,
    ConnectorError,
    MalformedResponseError,
    OutcomeUnknownError,
    PermanentError,
    PermissionDeniedError,
    PlatformUnavailableError,
    RateLimitedError,
    RecordConflictError,
    RecordInvalidError,
    RecordNotFoundError,
    TransientError,
)

_BY_STATUS: dict[int, type[ConnectorError]] = {
    400: RecordInvalidError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: RecordNotFoundError,
    409: RecordConflictError,
    410: RecordNotFoundError,
    422: RecordInvalidError,
    423: TransientError,
    429: RateLimitedError,
}

# Subclasses stand before their parents: the first that fits gives the advice.
_ADVICE: tuple[tuple[type[ConnectorError], str], ...] = (
    (AuthenticationError, "Renew the credentials with `dovetail connect {platform}`."),
    (PermissionDeniedError, "Grant the permission in {title}, then `dovetail connect {platform}`."),
    (RecordNotFoundError, "The record was deleted, or the address is wrong."),
    (RecordConflictError, "Change the record that exists instead of making another."),
    (RecordInvalidError, "Correct the values; the same call will be refused again."),
    (RateLimitedError, "It is tried again once the limit allows."),
    (TransientError, "Nothing was applied; it is tried again."),
    (OutcomeUnknownError, "It may have been applied: look before writing again."),
    (MalformedResponseError, "Check the address of the connection and what stands in between."),
    (PermanentError, "The same call will fail again; see the platform's documentation."),
)


@dataclass(frozen=True, slots=True)
class Call:
    """What was asked of a platform, as far as an error must name it."""

    platform: str
    title: str
    operation: str
    method: str
    path: str
    repeatable: bool

    def error(self, kind: type[ConnectorError], what: str, **facts: Any) -> ConnectorError:
        """Return an error that says what happened, to which call, and what to do."""
        advice = next((text for known, text in _ADVICE if issubclass(kind, known)), "")
        advice = advice.format(platform=self.platform, title=self.title)
        sentence = what.rstrip(" .")
        return kind(
            f"{self.title} could not {self.operation} ({self.method} {self.path}): "
            f"{sentence}. {advice}".rstrip(),
            platform=self.platform,
            operation=self.operation,
            **facts,
        )

    def broken(self, error: TransportError) -> ConnectorError:
        """Return the error of an exchange without a complete answer."""
        unknown = error.sent and not self.repeatable
        kind = OutcomeUnknownError if unknown else PlatformUnavailableError
        return self.error(kind, str(error), may_be_applied=self._writes(error.sent))

    def malformed(self, response: ApiResponse, why: str) -> ConnectorError:
        """Return the error of an accepted call whose answer cannot be understood."""
        kind = MalformedResponseError if self.repeatable else OutcomeUnknownError
        what = f"status {response.status}, but {why}: {response.excerpt() or 'an empty body'}"
        return self.error(kind, what, status=response.status)

    def refused(
        self, response: ApiResponse, detail: ErrorDetail, rules: Sequence[ErrorRule]
    ) -> ConnectorError:
        """Return the error of an answer with a bad status: the first rule that fits, or ours."""
        kind = self._kind(response.status, detail.code, rules)
        facts: dict[str, Any] = {}
        facts["may_be_applied"] = self._writes(response.status >= 500)
        if issubclass(kind, RateLimitedError):
            asked = retry_after(response.headers, response.received_at)
            facts["retry_after_s"] = detail.retry_after_s if asked is None else asked
        elif issubclass(kind, RecordInvalidError):
            facts["fields"] = detail.fields
        elif issubclass(kind, RecordConflictError):
            facts["existing_id"] = detail.existing_id
        code = f" {detail.code}" if detail.code else ""
        return self.error(
            kind,
            f"{response.status}{code}, {detail.message}",
            status=response.status,
            platform_code=detail.code,
            request_id=detail.request_id,
            **facts,
        )

    def _writes(self, is_sent: bool) -> bool | None:
        return True if is_sent and self.method != "GET" else None

    def _kind(
        self, status: int, code: str | None, rules: Sequence[ErrorRule]
    ) -> type[ConnectorError]:
        for rule in rules:
            if rule.status in (None, status) and rule.code in (None, code):
                return rule.raises
        if status >= 500:
            return PlatformUnavailableError if self.repeatable else OutcomeUnknownError
        return _BY_STATUS.get(status, PermanentError)
