"""``dovetail connect``: authorise Dovetail with an account, and see or end what is authorised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dovetail.cli.command import Database, command, new_app
from dovetail.cli.database import opened
from dovetail.cli.screen import Screen
from dovetail.errors import ConfigError, PlatformUnavailableError, UsageError

if TYPE_CHECKING:
    from dovetail.app.app import App
    from dovetail.cli.credential import Given
    from dovetail.model.integration import Connection

app = new_app()


Platform = Annotated[
    str | None, typer.Argument(metavar="PLATFORM", help="Such as hubspot or salesforce.")
]
Business = Annotated[str, typer.Option(help="The tenant whose account it is.")]
BaseUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="Where the platform's API is, if elsewhere.")
]
Sandbox = Annotated[
    str | None, typer.Option(metavar="URL", help="Connect what the sandbox at this address serves.")
]
TokenStdin = Annotated[
    bool, typer.Option("--token-stdin", help="Read the token from standard input.")
]
WebhookSecretStdin = Annotated[
    bool,
    typer.Option(
        "--webhook-secret-stdin",
        help="Read the secret that signs webhooks from standard input, after the token.",
    ),
]
Way = Annotated[
    str | None,
    typer.Option(
        "--auth",
        metavar="WAY",
        help="token, browser, client-credentials or jwt. Else what the given credentials allow.",
    ),
]
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Print the log-in page's address; open nothing.")
]
RedirectPort = Annotated[
    int,
    typer.Option(
        min=0, max=65535, help="Of http://localhost:PORT/callback, which the app must allow."
    ),
]
Wait = Annotated[float, typer.Option(min=1, metavar="SECONDS", help="For the log-in at most.")]
Setting = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="A setting of the connection; may be repeated."),
]
PublicUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="What platforms call; for the webhook URL.")
]
Show = Annotated[bool, typer.Option("--list", help="Show the connections there are.")]
Remove = Annotated[
    str | None, typer.Option(metavar="ID", help="Forget a connection's credentials.")
]


@app.command()
@command
async def connect(
    screen: Screen,
    platform: Platform = None,
    business: Business = "default",
    base_url: BaseUrl = None,
    sandbox: Sandbox = None,
    auth: Way = None,
    no_browser: NoBrowser = False,
    redirect_port: RedirectPort = 8788,
    wait: Wait = 300,
    token_stdin: TokenStdin = False,
    webhook_secret_stdin: WebhookSecretStdin = False,
    setting: Setting = None,
    public_url: PublicUrl = None,
    show: Show = False,
    remove: Remove = None,
    database: Database = None,
) -> None:
    """
    Connect an account on a platform, tested before it is kept.

    The token comes from DOVETAIL_<PLATFORM>_TOKEN, from standard input, or is asked for without
    echo. With DOVETAIL_<PLATFORM>_CLIENT_ID (and _CLIENT_SECRET), a browser is opened where you
    allow it instead. Other credentials come from DOVETAIL_<PLATFORM>_<CREDENTIAL>, such as
    DOVETAIL_SALESFORCE_INSTANCE_URL. They are kept encrypted.
    """
    if show or remove:
        await _look(screen, database, remove)
        return
    from dovetail.cli.login import Login, finish

    settings = _settings(setting or [])
    way = "browser" if no_browser and auth is None else auth
    if sandbox is None:
        if platform is None:
            raise UsageError("Name a platform to connect, or a sandbox with --sandbox URL.")
        wanted = {platform: _ask(platform, way, token_stdin, webhook_secret_stdin)}
    else:
        wanted = await _read_sandbox(sandbox, platform)
    made: list[dict[str, Any]] = []
    async with opened(database, create=True, public_url=public_url) as world:
        for name, given in wanted.items():
            login = Login(screen, redirect_port, wait, opens_browser=not no_browser)
            await finish(world, name, given, way, base_url or given.base_url, login)
            connection = await world.connections.add(
                platform=name,
                business_id=business,
                secrets=given.secrets,
                base_url=base_url or given.base_url,
                webhook_secret=given.webhook_secret,
                settings=settings,
            )
            made.append(_record(world, connection))
    _tell(screen, made)


def _tell(screen: Screen, made: list[dict[str, Any]]) -> None:
    if screen.json:
        screen.document({"connections": made})
        return
    for one in made:
        account = f", account {one['account']}" if one["account"] else ""
        screen.text(f"Connected {one['platform']}{account} (connection {one['id']}).")
        screen.text(f"Webhooks go to {one['webhook_url']}", style="dim", indent=2)


async def _look(screen: Screen, database: Path | None, remove: str | None) -> None:
    async with opened(database) as world:
        if remove:
            await _remove(screen, world, remove)
        else:
            await _list(screen, world)


def _ask(platform: str, way: str | None, token_stdin: bool, webhook_secret_stdin: bool) -> Given:
    from dovetail.cli.credential import given_for
    from dovetail.connector_sdk.registry import connector_class

    kind = connector_class(platform)
    return given_for(
        kind, way, token_from_input=token_stdin, webhook_secret_from_input=webhook_secret_stdin
    )


async def _read_sandbox(url: str, platform: str | None) -> dict[str, Given]:
    from dovetail.cli.credential import Given
    from dovetail.connector_sdk.http import AiohttpTransport
    from dovetail.connector_sdk.registry import platforms
    from dovetail.core import json
    from dovetail.core.transport import HttpRequest, TransportError

    transport = AiohttpTransport()
    try:
        address = url if "://" in url else f"http://{url}"
        answer = await transport.send(HttpRequest(method="GET", url=address, timeout_s=10.0))
        found = {one["platform"]: one for one in json.decode(answer.body)["platforms"]}
    except TransportError as error:
        raise PlatformUnavailableError(
            f"There is no sandbox at {url}: {error}. Start one with `dovetail sandbox`.", url=url
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"What answers at {url} is not the index of a sandbox; give the first port, which "
            "`dovetail sandbox` prints.",
            url=url,
        ) from error
    finally:
        await transport.close()
    if platform is not None and platform not in found:
        raise ConfigError(
            f"The sandbox at {url} does not serve {platform}; it serves {', '.join(found)}."
        )
    return {
        name: Given(
            secrets={key: str(value) for key, value in one["credentials"].items()},
            webhook_secret=one.get("webhook_secret"),
            base_url=one["base_url"],
        )
        for name, one in found.items()
        if platform in (None, name) and name in platforms()
    }


def _settings(pairs: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--setting {pair!r} is not NAME=VALUE.")
        settings[name] = int(value) if value.isdigit() else value
    return settings


async def _list(screen: Screen, world: App) -> None:
    from dovetail.runtime.refusal import list_refusals

    refused = await world.store.read(list_refusals)
    found = [_record(world, one) for one in await world.connections.list()]
    for one in found:
        if one["id"] in refused:
            one |= {"status": "refused", "reason": refused[one["id"]].why}
    if screen.json:
        screen.document({"connections": found})
    elif not found:
        screen.text("There are no connections. `dovetail connect PLATFORM` makes one.")
    else:
        screen.table(
            ("Connection", "Platform", "Account", "Business", "Status"),
            [
                (
                    one["id"],
                    one["platform"],
                    one["account"],
                    one["business_id"],
                    one["status"] + (f": {one['reason']}" if one["reason"] else ""),
                )
                for one in found
            ],
        )
        for one in found:
            screen.note(f"{one['platform']} sends webhooks to {one['webhook_url']}")


async def _remove(screen: Screen, world: App, connection_id: str) -> None:
    gone = await world.connections.remove(connection_id)
    if screen.json:
        screen.document({"removed": gone.id})
    else:
        screen.text(f"Removed the connection {gone.id} to {gone.platform}; its records stay.")


def _record(world: App, connection: Connection) -> dict[str, Any]:
    return {
        "id": connection.id,
        "platform": connection.platform,
        "account": connection.account,
        "business_id": connection.business_id,
        "base_url": connection.base_url,
        "status": connection.status,
        "reason": connection.status_reason,
        "webhook_url": world.webhook_url(connection.platform or "", connection.id),
    }
