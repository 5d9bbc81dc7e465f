"""
Every error that Dovetail raises, sorted by what happens next.

::

    DovetailError                      code, message, facts; to_record() -> plain JSON
    |- ConfigError (ValueError)        a person must change something before it can run
    |  |- DeclarationError             a service, handler or mapping is declared wrongly
    |  |- UnknownPlatformError
    |  |- BrokenExtensionError         what another package adds cannot be used
    |  |- MissingCredentialError
    |  |- UnsupportedCapabilityError   asked of a platform that cannot; raised before any I/O
    |  |- EnvironmentInUseError        the database, port or directory cannot be used now
    |- UsageError (RuntimeError)       the API was called where or how it cannot be
    |- ConnectorError                  platform, operation, status, platform_code, request_id
    |  |- TransientError               nothing was applied: retried with backoff
    |  |  |- RateLimitedError          retry_after_s; pauses the connection, not one run
    |  |  |- PlatformUnavailableError
    |  |  |- ConnectionPausedError     credentials are refused: put off, no try is counted
    |  |- PermanentError               the same call will fail again
    |  |  |- AuthenticationError
    |  |  |- PermissionDeniedError
    |  |  |- RecordNotFoundError
    |  |  |- RecordInvalidError        fields: {name: reason}
    |  |  |- RecordConflictError       existing_id when the platform says
    |  |  |- CursorExpiredError        the sync restarts from its watermark
    |  |  |- MalformedResponseError    the platform broke its format
    |  |- OutcomeUnknownError          a write may have been applied: look before writing again
    |- WebhookRejectedError            status says which answer the sender gets
    |- ExecutionError                  the durable runtime
    |  |- RetriesExhaustedError
    |  |- ReplayMismatchError
    |  |- WaitTimeoutError            no event came, or no child run ended, in time
    |  |- ChildFailedError            a run that this run started died or was cancelled
    |  |- StepFailedError             an error of an earlier pass that cannot be rebuilt
    |  |- CompensationError           steps that a failed run could not undo
    |  |- VersionConflictError         a record changed under the writer; the run starts over
    |  |- StoreError                   the database refused; retried
    |- RecordMissingError (LookupError)  ``db`` was asked for a record that does not exist
    |- InternalError                   our bug; please report it

`RunSuspended` and `RunCancelled` derive from BaseException: they are control flow, and user code
that catches Exception must not swallow them.
"""

from __future__ import annotations

from typing import Any, ClassVar


class DovetailError(Exception):
    """Root of every error of Dovetail; `code` is stable and documented in docs/errors.md."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = {name: value for name, value in facts.items() if value is not None}

    def to_record(self) -> dict[str, Any]:
        """Plain JSON of the error, as stored with a failed delivery."""
        return {"code": self.code, "message": self.message, "facts": _plain(self.facts)}


class ConfigError(DovetailError, ValueError):
    """Something must be changed by a person before this can run."""

    code = "config"


class DeclarationError(ConfigError):
    """
    A service, handler or mapping is declared wrongly; `problems` lists each with its path.

    Run ``dovetail check FILE`` to see what a declaration means.
    """

    code = "declaration"

    def __init__(self, message: str, *, problems: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message, problems=problems)
        self.problems = problems or []


class UnknownPlatformError(ConfigError):
    """No connector of that name exists; the message names the closest one."""

    code = "unknown-platform"


class BrokenExtensionError(ConfigError):
    """
    A connector or simulator that another package adds cannot be used; the message says why.

    ``dovetail connectors`` shows every one of them.
    """

    code = "broken-extension"


class MissingCredentialError(ConfigError):
    """A connection has no usable credentials; run ``dovetail connect PLATFORM``."""

    code = "missing-credential"


class UnsupportedCapabilityError(ConfigError):
    """The platform cannot do what was asked; raised before any request is sent."""

    code = "unsupported-capability"


class EnvironmentInUseError(ConfigError):
    """The database file, port or directory is in use or cannot be written."""

    code = "environment"


class UsageError(DovetailError, RuntimeError):
    """The API was called in a place or a way that it cannot be; the message says where it can."""

    code = "usage"


class ConnectorError(DovetailError):
    """A platform call did not succeed. The three children say: retry, give up, or look first."""

    code = "connector"

    def __init__(
        self,
        message: str,
        *,
        platform: str | None = None,
        operation: str | None = None,
        status: int | None = None,
        platform_code: str | None = None,
        request_id: str | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(
            message,
            platform=platform,
            operation=operation,
            status=status,
            platform_code=platform_code,
            request_id=request_id,
            **facts,
        )
        self.platform = platform
        self.operation = operation
        self.status = status
        self.platform_code = platform_code
        self.request_id = request_id

    @property
    def may_be_applied(self) -> bool:
        """Whether a write may have been made all the same, as when its answer was lost."""
        return bool(self.facts.get("may_be_applied"))


class TransientError(ConnectorError):
    """
    The same call may succeed later; the runtime retries.

    Nothing was applied, or (`may_be_applied`) repeating the call is harmless.
    """

    code = "transient"


class RateLimitedError(TransientError):
    """The platform's limit was reached; `retry_after_s` is what it asked for, if it said."""

    code = "rate-limited"

    def __init__(self, message: str, *, retry_after_s: float | None = None, **facts: Any) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **facts)
        self.retry_after_s = retry_after_s


class PlatformUnavailableError(TransientError):
    """The platform could not be reached or answered 5xx to a call that is safe to repeat."""

    code = "platform-unavailable"


class ConnectionPausedError(TransientError):
    """
    The connection's credentials are refused and nothing was sent; the work is put off.

    It goes on by itself once the credentials are renewed with ``dovetail connect PLATFORM``.
    """

    code = "connection-paused"

    def __init__(self, message: str, *, retry_after_s: float, **facts: Any) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **facts)
        self.retry_after_s = retry_after_s


class PermanentError(ConnectorError):
    """The same call will fail again; retrying does not help."""

    code = "permanent"


class AuthenticationError(PermanentError):
    """The credentials were refused; reconnect with ``dovetail connect PLATFORM``."""

    code = "authentication"


class PermissionDeniedError(PermanentError):
    """The credentials are valid but lack a scope or permission."""

    code = "permission-denied"


class RecordNotFoundError(PermanentError):
    """The platform has no such record (deleted, archived or never there)."""

    code = "record-not-found"


class RecordInvalidError(PermanentError):
    """The platform refused the values; `fields` maps field names to reasons."""

    code = "record-invalid"

    def __init__(self, message: str, *, fields: dict[str, str] | None = None, **facts: Any) -> None:
        super().__init__(message, fields=fields, **facts)
        self.fields = fields or {}


class RecordConflictError(PermanentError):
    """A duplicate or a stale version; `existing_id` when the platform says which record."""

    code = "record-conflict"

    def __init__(self, message: str, *, existing_id: str | None = None, **facts: Any) -> None:
        super().__init__(message, existing_id=existing_id, **facts)
        self.existing_id = existing_id


class CursorExpiredError(PermanentError):
    """The platform no longer accepts this page token; reading restarts from the watermark."""

    code = "cursor-expired"


class MalformedResponseError(PermanentError):
    """The platform answered outside its own format (HTML for JSON, truncated body)."""

    code = "malformed-response"


class OutcomeUnknownError(ConnectorError):
    """A write may or may not have been applied; it is looked up before it is ever repeated."""

    code = "outcome-unknown"


class WebhookRejectedError(DovetailError):
    """An incoming webhook was refused; `status` is the HTTP answer the sender gets."""

    code = "webhook-rejected"

    def __init__(self, message: str, *, status: int = 400, **facts: Any) -> None:
        super().__init__(message, status=status, **facts)
        self.status = status


class ExecutionError(DovetailError):
    """Something in the durable runtime."""

    code = "execution"


class RetriesExhaustedError(ExecutionError):
    """Every attempt failed; the delivery waits in the dead letters."""

    code = "retries-exhausted"


class ReplayMismatchError(ExecutionError):
    """The code of a handler no longer matches the steps that were recorded for its run."""

    code = "replay-mismatch"


class WaitTimeoutError(ExecutionError):
    """An event or a child run that a run waited for was not in time; catch it to go on without."""

    code = "wait-timeout"


class ChildFailedError(ExecutionError):
    """
    A run that this run had started died, was cancelled or was skipped; catch it to go on without.

    `facts` holds the child's `run` and `handler`, its `status` (dead, cancelled or skipped) and
    `error` as it was recorded of the child; `runs` names all that failed beside each other.
    """

    code = "child-failed"


class StepFailedError(ExecutionError):
    """A step failed in an earlier pass; `facts["error"]` describes it, the class is gone."""

    code = "step-failed"


class CompensationError(ExecutionError):
    """A failed or cancelled run could not be undone whole; the message names what was not."""

    code = "compensation"


class VersionConflictError(ExecutionError):
    """A record was changed by someone else since it was read; the run starts over."""

    code = "version-conflict"


class StoreError(ExecutionError):
    """The database refused (locked, full, read-only); the work waits and is tried again."""

    code = "store"


class RecordMissingError(DovetailError, LookupError):
    """``db`` was asked to change or fetch a record that does not exist for this tenant."""

    code = "record-missing"


class InternalError(DovetailError):
    """A bug in Dovetail; please report it with the message."""

    code = "internal"


class RunSuspended(BaseException):
    """The run gave up its place until something happens; it is resumed by the runtime."""


class RunCancelled(BaseException):
    """The run was cancelled by a person or a shutdown."""


def describe(error: BaseException) -> dict[str, Any]:
    """Plain JSON of any error: Dovetail's own with its code and facts, others by class name."""
    if isinstance(error, DovetailError):
        return error.to_record()
    return {"code": type(error).__name__, "message": str(error) or type(error).__name__}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value)
