"""What a platform knows about the application that calls it: set where developers register one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from dovetail.simulator_sdk.refusal import RefusedError


@dataclass(frozen=True, slots=True)
class Registration:
    """
    The settings of a registered application.

    Attributes:
        redirect_uris: Where a person may be sent back to; anywhere while there is none.
        requires_pkce: Whether an authorization without a code challenge is refused.
        rotates_refresh_tokens: Whether each refresh replaces the refresh token, and a used one is
            refused from then on.
        code_life_s: Seconds until an authorization code ends.
        token_life_s: Seconds until an access token ends.
        jwt_public_key: PEM of the key (or certificate) that signs the application's assertions.
    """

    redirect_uris: tuple[str, ...] = ()
    requires_pkce: bool = False
    rotates_refresh_tokens: bool = False
    code_life_s: float = 600.0
    token_life_s: float = 1800.0
    jwt_public_key: str | None = None

    def changed(self, wanted: Mapping[str, Any]) -> Registration:
        """
        Return the registration with other settings.

        Raises:
            RefusedError: There is no such setting, or its value is of another kind.
        """
        known = [each.name for each in fields(self)]
        values: dict[str, Any] = {}
        for name, value in wanted.items():
            if name not in known:
                raise RefusedError(f"unknown setting {name!r}; there are: {', '.join(known)}")
            if not _fits(name, value):
                raise RefusedError(f"{name} cannot be {value!r}")
            values[name] = tuple(value) if name == "redirect_uris" else value
        return replace(self, **values)

    def to_record(self) -> dict[str, Any]:
        """Return the settings as the control endpoint shows them."""
        return {**asdict(self), "redirect_uris": list(self.redirect_uris)}


def _fits(name: str, value: Any) -> bool:
    if name == "redirect_uris":
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    if name == "jwt_public_key":
        return value is None or isinstance(value, str)
    if name.endswith("_s"):
        return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return isinstance(value, bool)
