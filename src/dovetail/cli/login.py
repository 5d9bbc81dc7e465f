"""From what a person gave to credentials that are good: a log-in in the browser, or a grant."""

from __future__ import annotations

import asyncio
import webbrowser
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovetail.cli.screen import Screen

if TYPE_CHECKING:
    from dovetail.app.app import App
    from dovetail.cli.credential import Given
    from dovetail.connector_sdk.base import Connector


@dataclass(frozen=True, slots=True)
class Login:
    """How a person is sent to a log-in page and waited for."""

    screen: Screen
    port: int
    wait_s: float
    opens_browser: bool


async def finish(
    world: App, platform: str, given: Given, way: str | None, base_url: str | None, login: Login
) -> None:
    """
    Make what was given complete: let a person log in, or name the grant that gives tokens.

    Raises:
        AuthenticationError: The person said no, or nobody came.
    """
    from dovetail.cli.credential import complete, grant_for
    from dovetail.connector_sdk.grant import AuthorizationCode
    from dovetail.connector_sdk.registry import connector_class

    kind = connector_class(platform)
    grant = given.grant or (grant_for(kind, way, given.secrets) if way else None)
    if grant is None:
        return
    complete(platform, kind.title, grant.required, given)
    # A token that came along belongs to another grant.
    for name in ("access_token", "refresh_token"):
        given.secrets.pop(name, None)
    given.secrets["grant"] = grant.name
    if isinstance(grant, AuthorizationCode):
        given.secrets |= await _log_in(world, kind, given, base_url, login)


async def _log_in(
    world: App, kind: type[Connector], given: Given, base_url: str | None, login: Login
) -> dict[str, str]:
    from dovetail.app.authorization import Authorization
    from dovetail.cli.landing import Landing

    async with Landing(login.port) as landing:
        authorization = Authorization(
            kind, given.secrets, base_url=base_url, redirect_uri=landing.uri
        )
        landing.expect(authorization.code_in)
        page = authorization.page
        if login.screen.json:
            login.screen.document({"open": page})
        else:
            login.screen.note(f"Allow Dovetail to use {kind.title}:")
            login.screen.text(page)
        if login.opens_browser:
            # It may start a browser and wait for it.
            await asyncio.to_thread(webbrowser.open, page)
        code = await landing.wait(login.wait_s)
    return await authorization.exchange(code, world.ports)
